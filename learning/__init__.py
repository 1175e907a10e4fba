"""Learns each tenant's ranking from its own log: replays it with the production code and fits weights. NumPy only."""
