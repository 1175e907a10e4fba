"""`python -m tests.chaos`: real traffic, real processes, everything that can go wrong, and a recount at the end."""
