"""One feed request: query, catalog, filters, rank, page."""
