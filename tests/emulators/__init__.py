"""Test servers that speak the wire protocols of Azure services, for the real SDKs over real sockets.

Each implements only what this project's adapters use. Tests inject faults (`faults.py`) and set the time (`clock.py`).
The servers were built from the SDKs' sources and public protocol descriptions and never compared with Azure, so results
hold "against our test server".

Tests start them in-process on free ports; `python -m tests.emulators` runs them as a program with an HTTP control
endpoint.
"""
