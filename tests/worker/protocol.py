"""Names of the worker protocol that indexing uses; the worker library does not include them.

The numbers are those of the public protocol definition between the Functions host and its workers. A message is a
record of the fields it was made with: the library only fills messages in, and the test reads them.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class Record:
    """A message of the protocol."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


class BindingInfo(Record):
    """A binding of a function, with the numbers for its direction and its data type."""

    out, inout = 1, 2
    undefined, string, binary, stream = range(4)


setattr(BindingInfo, "in", 0)


class StatusResult(Record):
    """The outcome of a request."""

    Failure, Success, Cancelled = range(3)


PROTOCOL = SimpleNamespace(
    BindingInfo=BindingInfo,
    FunctionMetadataResponse=Record,
    RpcException=Record,
    RpcFunctionMetadata=Record,
    StatusResult=StatusResult,
    WorkerInitResponse=Record,
    WorkerMetadata=Record,
)
