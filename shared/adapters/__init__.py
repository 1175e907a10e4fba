"""Ports and their backends: documents, bus, blobs, flags; embedded (SQLite, files) and Azure."""
