"""Uploads of pictures and clips for stories: tickets with signed links, and checks of the uploaded files."""
