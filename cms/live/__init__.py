"""How the service does at the moment, for operators."""
