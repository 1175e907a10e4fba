"""Plain records and formats: what documents, events, keys and ids look like. No I/O."""
