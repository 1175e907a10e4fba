"""The whole app on its four Azure adapters, against our test servers: `python -m tests.e2e.azure` (`make e2e-azure`).

The servers are one process (`tests.emulators`), the app another (`python -m local`); faults and time come over the
servers' control endpoint. What is shown here is shown against our test servers, never on Azure.
"""
