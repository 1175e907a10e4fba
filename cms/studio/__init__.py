"""The page for content teams."""
