"""Tests of the local host, over real sockets, with a toy app."""
