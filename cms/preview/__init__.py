"""The feed of a user or a described viewer, now and under a draft."""
