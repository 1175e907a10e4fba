"""Test servers that speak the wire protocols of Azure services, for the real SDKs over real sockets.

Each implements what this project's adapters use, no more, and can be told to fail (`faults.py`) and what time it
is (`clock.py`). They were built from the SDKs' sources and public protocol descriptions; nothing was compared
with Azure itself, so what they prove is proven "against our test server".

Tests start them in-process on free ports; `python -m tests.emulators` runs them as a program with an HTTP
control endpoint.
"""
