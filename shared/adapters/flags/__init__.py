"""Feature flags: the evaluation, and its sources `file` (embedded) and `app_configuration` (Azure)."""
