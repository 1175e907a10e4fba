"""Videos: create, change, search, take down, restore; performance and playback figures."""
