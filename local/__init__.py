"""`python -m local`: runs the function app on one machine, without Azure."""
