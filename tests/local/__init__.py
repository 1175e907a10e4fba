"""The local host, over real sockets, with a toy app."""
