"""The social graph of a tenant's users, and stories: posts that end after the tenant's `storyHours`."""
