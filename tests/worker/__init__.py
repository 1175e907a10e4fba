"""The app under the official Functions worker, and its host.json as the Functions host reads it."""
