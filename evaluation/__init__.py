"""Offline replay and training on logged exposures, with the production ranking. Not part of the deployed package."""
