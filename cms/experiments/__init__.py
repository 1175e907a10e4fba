"""Model versions and A/B experiments."""
