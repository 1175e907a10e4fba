"""Moderation of stories that viewers reported."""
