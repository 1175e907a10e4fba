"""Model versions and experiments."""
