"""A test broker for Service Bus: AMQP 1.0 with claims-based security, peek-lock, sessions and dead letters.

`broker.py` has the protocol, `reactor_thread.py` the thread it runs on, `entities.py` what it serves. Importing them
needs python-qpid-proton.
"""
