"""Turns failures of the Service Bus SDK into errors of the bus port: `answered` for any call, `confirmed` for sends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from azure.core.exceptions import AzureError
from azure.servicebus.exceptions import (
    MessageAlreadySettled,
    MessageLockLostError,
    MessageSizeExceededError,
    OperationTimeoutError,
    ServiceBusError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)

from shared.adapters.bus.coalescing import RETRY_AFTER_SECONDS
from shared.adapters.bus.port import BusUnavailable, LockLost

T = TypeVar("T")


class NothingCame(Exception):
    """The operation's own time ran out."""


class LinkGone(LockLost):
    """Every lock that came through this link is lost."""


async def answered(call: Awaitable[T], seconds: float) -> T:
    """The call's result; every failure of the SDK as an error of the port."""
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            return await call
    except (OperationTimeoutError, TimeoutError):
        raise NothingCame from None
    except MessageSizeExceededError:
        raise
    except (SessionLockLostError, SessionCannotBeLockedError) as error:
        raise LinkGone(f"the session is lost ({type(error).__name__})") from None
    except (MessageLockLostError, MessageAlreadySettled) as error:
        raise LockLost(f"the lock is lost ({type(error).__name__})") from None
    except ServiceBusError as error:
        if isinstance(error.inner_exception, ValueError):  # the link was closed while it was in use
            raise LinkGone("the link the message came through is gone") from None
        raise BusUnavailable(f"Service Bus failed ({type(error).__name__})", RETRY_AFTER_SECONDS) from None
    except ValueError as error:  # the SDK's word for a receiver whose connection was replaced
        if "shutdown" in str(error):
            raise LinkGone("the link the message came through is gone") from None
        raise
    except (AzureError, OSError, AttributeError) as error:  # the SDK trips over parts of a connection that just broke
        raise BusUnavailable(f"Service Bus cannot be reached ({type(error).__name__})", RETRY_AFTER_SECONDS) from None


async def confirmed(call: Awaitable[T], seconds: float) -> T:
    """The result of a call of a sender, which holds no locks: whatever fails, the bus did not confirm."""
    try:
        return await answered(call, seconds)
    except (NothingCame, LockLost) as error:
        raise BusUnavailable("Service Bus did not confirm in time", RETRY_AFTER_SECONDS) from error
