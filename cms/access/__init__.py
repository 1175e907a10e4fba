"""API keys, public keys that verify user tokens, and tenants."""
