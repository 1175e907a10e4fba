"""Pages that were served, explained."""
