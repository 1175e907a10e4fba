"""Tests every operation of every port against every response its service can give.

    python -m tests.matrix [documents|blobs|flags|bus …]     the whole matrix, with its counts

`answers.py` has the responses; `documents.py`, `blobs.py`, `flags.py` and `bus.py` the operations and their expected
outcomes; `test_matrix.py` runs a part that covers every operation and every response.
"""
