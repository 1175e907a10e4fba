"""A tenant's configuration and its draft."""
