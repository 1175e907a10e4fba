"""Previews of the feed for a stored user or a described viewer, live and with a draft applied."""
