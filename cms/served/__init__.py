"""Explains served pages of the feed: the videos, the model that ranked them, and the contributions to their scores."""
