"""Log lines are JSON objects without callers' values."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from shared.observability import logs
from shared.observability.metrics import Telemetry
from shared.observability.tracing import Trace, current_trace

HASH = "5f" * 32
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("feed.test_logs"):
            self.texts.append(record.getMessage())


@pytest.fixture
def lines() -> Iterator[Lines]:
    root, lines = logging.getLogger(), Lines()
    root.addHandler(lines)
    yield lines
    root.removeHandler(lines)


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry()
    uninstall = logs.install(telemetry, structured=True)
    yield telemetry
    uninstall()


log = logging.getLogger("feed.test_logs")


def test_record_is_one_json_object_with_its_fields_and_the_current_trace(lines: Lines, telemetry: Telemetry) -> None:
    token = current_trace.set(Trace(TRACE))
    logs.log_event(log, logging.WARNING, "unknown_videos", tenant="tenant_1", count=2, videos=["a", "b"])
    current_trace.reset(token)
    [text] = lines.texts
    line = json.loads(text)
    assert line.pop("at").endswith("Z")
    assert line == {
        "level": "warning", "logger": "feed.test_logs", "event": "unknown_videos",
        "tenant": "tenant_1", "count": 2, "videos": ["a", "b"], "traceId": TRACE,
    }  # fmt: skip


def test_user_hash_or_hexadecimal_key_is_masked_wherever_it_stands(lines: Lines, telemetry: Telemetry) -> None:
    log.warning("a request of %s failed", HASH)
    logs.log_event(log, logging.WARNING, "odd", tenant=HASH.upper())
    assert all("5f5f" not in text.lower() for text in lines.texts)
    assert [json.loads(text)["level"] for text in lines.texts] == ["warning", "warning"]


def test_the_first_lines_of_a_kind_in_a_minute_are_written_and_the_rest_counted(
    lines: Lines, telemetry: Telemetry
) -> None:
    for number in range(logs.LINES_PER_MINUTE + 25):
        log.warning("number %d", number)
    log.warning("another kind")
    assert len(lines.texts) in (logs.LINES_PER_MINUTE + 1, 2 * logs.LINES_PER_MINUTE + 1)  # the minute can change
    written, left_out = (telemetry.counters["log_lines", (outcome,)] for outcome in ("written", "left_out"))
    assert written == len(lines.texts)
    assert written + left_out == logs.LINES_PER_MINUTE + 26


def test_errors_are_omitted_only_in_a_flood_so_error_ids_have_their_line() -> None:
    sampler = logs.Sampler(Telemetry(), lambda: 0.0)
    record = logging.LogRecord("feed.x", logging.ERROR, "", 0, "failed, error id", None, None)
    passed = [sampler.passes(record) for _ in range(logs.ERRORS_PER_MINUTE + 1)]
    assert passed == [0] * logs.ERRORS_PER_MINUTE + [None]


def test_next_line_of_a_kind_reports_how_many_were_omitted() -> None:
    now = [0.0]
    sampler = logs.Sampler(Telemetry(), lambda: now[0])
    record = logging.LogRecord("feed.x", logging.WARNING, "", 0, "again", None, None)
    passed = [sampler.passes(record) for _ in range(logs.LINES_PER_MINUTE + 3)]
    assert passed == [0] * logs.LINES_PER_MINUTE + [None] * 3
    now[0] = 61.0
    assert sampler.passes(record) == 3
    assert sampler.passes(record) == 0


def test_removing_the_log_handler_restores_the_previous_one(lines: Lines) -> None:
    logs.install(Telemetry(), structured=True)()
    log.warning("plain")
    assert lines.texts == ["plain"]
