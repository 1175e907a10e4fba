"""Ports and their backends: documents, bus, blobs, flags and live notifications; embedded (SQLite, files) and Azure."""
