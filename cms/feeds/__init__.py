"""Named feeds."""
