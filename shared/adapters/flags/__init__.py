"""Feature flags: their evaluation, and the sources `file` (embedded) and `app_configuration` (Azure)."""
