"""Editorial rules and playlists."""
