"""Fixtures and reports for every test."""

import logging
import os
from collections import Counter
from typing import Any

import pytest
from hypothesis import settings

from shared.observability import logs
from tests.skip_reasons import PREFIX

# Compiled loops check every index, in this process and in those it starts.
os.environ.setdefault("NUMBA_BOUNDSCHECK", "1")
# No deadline: tests check results, benchmarks/ measures speed.
settings.register_profile("house", deadline=None, max_examples=50)
settings.register_profile("long", deadline=None, max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the time of each group of tests, the program versions used (`tested with`), and a line for each missing
    program."""
    seconds: Counter[str] = Counter()
    programs: set[str] = set()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(getattr(report, "duration", None), float):
                seconds["/".join(report.nodeid.split("/")[:2]).partition("::")[0]] += report.duration
                programs.update(str(said) for name, said in report.user_properties if name == "tested with")
    for group, spent in seconds.most_common():
        terminalreporter.write_line(f"{group}: {spent:.1f} s")
    for said in sorted(programs):
        terminalreporter.write_line(f"tested with {said}")
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if PREFIX in reason:
            what = reason.split(PREFIX, 1)[1]
            reasons[what] = reasons.get(what, 0) + 1
    for what, count in reasons.items():
        terminalreporter.write_line(f"{PREFIX}{what}: {count} tests", yellow=True)


@pytest.fixture(scope="module", autouse=True)
def _logs_begin_afresh() -> None:
    """Reset log handlers: an app that another module left open would write each line twice."""
    logger = logging.getLogger(logs.ROOT)
    for handler in [each for each in logger.handlers if isinstance(each, logs._Relay)]:
        logger.removeHandler(handler)
    logger.propagate = True
