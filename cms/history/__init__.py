"""Import of a tenant's past events: files, and the jobs that process them."""
