"""A tenant's past events: files of them, and the jobs that they become."""
