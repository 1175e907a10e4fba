"""The live port and its Azure backend: notifications over open connections."""
