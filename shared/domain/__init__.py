"""Plain records and formats of documents, events, keys and ids. No I/O."""
