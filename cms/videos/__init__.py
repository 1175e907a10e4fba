"""Videos: create, change, take down, restore."""
