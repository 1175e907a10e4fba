"""Tests. Pytest finds the app because this package's folder stands in the root of the repository."""
