"""Promises. This package's folder stands in the root of the repository, which is how pytest finds the app."""
