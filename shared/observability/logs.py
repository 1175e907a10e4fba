"""Writes structured logs: one JSON object per record, with the trace id of the current request or message.

Nothing logs per request: frequent facts are metrics. Of each kind of record only the first few in a minute are
written; the next one says how many were left out.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Any, Protocol

import orjson

from shared.observability.tracing import NO_TRACE, current_trace

ROOT = "feed"
"""Parent of all our loggers."""
LINES_PER_MINUTE = 10
ERRORS_PER_MINUTE = 200
"""High, because an error id that a caller got must lead to its line, except in a flood."""
MAX_KINDS = 200
MAX_TEXT = 4_000

Value = str | int | float | bool | None | list[str]
ALWAYS = {"always": True}
"""`extra` of a record that sampling never leaves out. Only for records that are rare by nature."""
_HASH = re.compile(r"[0-9A-Fa-f]{40,}")


class Counters(Protocol):
    """Counter of log lines, as `Telemetry` has it."""

    def count(self, name: str, *labels: str) -> None: ...


def log_event(log: logging.Logger, level: int, event: str, *, always: bool = False, **fields: Value) -> None:
    """Log `event` (a fixed name) with fields. Never pass a key, a user's hash, or text that a caller chose.

    `always`: sampling never leaves it out. Only for records that are rare by nature, such as a change of state.
    """
    log.log(level, event, extra={"fields": fields, "always": always})


class Sampler:
    """Passes the first records of each kind in a minute, and counts the rest."""

    def __init__(self, telemetry: Counters, clock: Callable[[], float] = time.monotonic) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._minute = -1
        self._seen: dict[tuple[str, str], int] = {}
        self._left_out: dict[tuple[str, str], int] = {}

    def passes(self, record: logging.LogRecord) -> int | None:
        """Return None to leave the record out; else how many of its kind were left out since the last one passed."""
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._minute, self._seen = minute, {}
            if len(self._left_out) > MAX_KINDS:
                self._left_out.clear()
        if getattr(record, "always", False):
            self._telemetry.count("log_lines", "written")
            return 0
        kind = (record.name, str(record.msg))  # the template, not the text made of it
        seen = self._seen[kind] = self._seen.get(kind, 0) + 1
        most = ERRORS_PER_MINUTE if record.levelno >= logging.ERROR else LINES_PER_MINUTE
        if seen > most or len(self._seen) > MAX_KINDS:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            self._telemetry.count("log_lines", "left_out")
            return None
        self._telemetry.count("log_lines", "written")
        return self._left_out.pop(kind, 0)


def as_json(record: logging.LogRecord, left_out: int = 0) -> str:
    """Return the record as one line. Text that looks like a hexadecimal hash or key is replaced by `[hidden]`."""
    line: dict[str, Any] = {
        "at": _iso(record.created),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": record.getMessage()[:MAX_TEXT],
    }
    trace = current_trace.get()
    if trace is not NO_TRACE:
        line["traceId"] = trace.id
    line.update(getattr(record, "fields", {}))
    if left_out:
        line["leftOut"] = left_out
    trace_id = line.pop("traceId", None)
    text = _HASH.sub("[hidden]", orjson.dumps(line, default=str).decode())
    return text if trace_id is None else f'{text[:-1]},"traceId":"{trace_id}"}}'


class _Relay(logging.Handler):
    """Passes each sampled record to the host's own handlers, as a line of JSON or as plain text."""

    def __init__(self, sampler: Sampler, structured: bool) -> None:
        super().__init__()
        self._sampler = sampler
        self._structured = structured

    def emit(self, record: logging.LogRecord) -> None:
        left_out = self._sampler.passes(record)
        if left_out is None:
            return
        if self._structured:
            line = as_json(record, left_out)
            record = logging.makeLogRecord({**record.__dict__, "msg": line, "args": None, "exc_info": None})
        elif fields := getattr(record, "fields", None):
            text = " ".join(f"{name}={value}" for name, value in fields.items())
            record = logging.makeLogRecord({**record.__dict__, "msg": f"{record.getMessage()} {text}", "args": None})
        logging.getLogger().handle(record)


def install(telemetry: Counters, structured: bool) -> Callable[[], None]:
    """Send all our records through the sampler until the returned function is called."""
    logger = logging.getLogger(ROOT)
    relay = _Relay(Sampler(telemetry), structured)
    logger.addHandler(relay)
    logger.propagate = False

    def uninstall() -> None:
        logger.removeHandler(relay)
        logger.propagate = not any(isinstance(each, _Relay) for each in logger.handlers)

    return uninstall


def _iso(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"
