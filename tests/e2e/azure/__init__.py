"""The whole app on its four Azure adapters, against our test servers: `python -m tests.e2e.azure` (`make e2e-azure`).

The servers are one process (`tests.emulators`), the app another (`python -m local`). Faults and time are set through
the servers' control endpoint. Nothing here runs on Azure.
"""
