"""API keys, public keys for user tokens, tenants."""
