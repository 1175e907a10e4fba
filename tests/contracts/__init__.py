"""Contract tests: one suite per port, run on every backend. `backends.py` says how to add one."""
