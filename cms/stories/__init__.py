"""Stories that viewers reported."""
