"""Pure NumPy ranking: no I/O, no clock, no environment."""
