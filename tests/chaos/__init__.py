"""`python -m tests.chaos`: real traffic and processes, injected faults, and a recount at the end."""
