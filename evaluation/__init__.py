"""Offline replay and training on logged exposures with the production ranking; never shipped."""
