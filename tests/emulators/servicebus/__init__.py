"""A test broker for Service Bus: AMQP 1.0 with claims-based security, peek-lock, sessions and dead letters.

`broker.py` implements the protocol, `reactor_thread.py` its thread, `entities.py` queues and subscriptions. Importing
them needs python-qpid-proton.
"""
