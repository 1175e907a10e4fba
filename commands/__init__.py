"""Programs for operators, run as `python -m commands.NAME`."""
