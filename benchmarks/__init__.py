"""What we claim about speed, as programs anyone can run."""
