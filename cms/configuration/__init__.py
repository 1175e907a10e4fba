"""A tenant's configuration and its draft: endpoints, models and privileges."""
