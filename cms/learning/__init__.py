"""Shows editors what a tenant's learning found, and records when a model is taken back."""
