"""Serves one feed request: query, catalog, filters, ranking, page."""
