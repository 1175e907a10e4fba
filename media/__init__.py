"""Uploads: tickets with signed links, the look at what came, and the media that stories show."""
