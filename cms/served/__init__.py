"""Explains pages of the feed that were served: why each video was on them."""
