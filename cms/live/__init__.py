"""Current state of the service, for operators."""
