"""Editorial rules and playlists, with drafts of rules."""
