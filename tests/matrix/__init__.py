"""Every operation of every port against every answer its service may give on a bad day.

    python -m tests.matrix [documents|blobs|flags|bus …]     the whole matrix, with its counts

`answers.py` has the answers; `documents.py`, `blobs.py`, `flags.py` and `bus.py` the operations and what each pair must
come out as; `test_matrix.py` runs a part that touches every operation and every answer.
"""
