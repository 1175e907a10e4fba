"""People, whom they follow, and stories: what people post for a day."""
