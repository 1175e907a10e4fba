"""Named feeds and their drafts."""
