"""Serves one app behind the firewall per module."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.firewall.guarded import Guarded, deployed, guarded
from tests.firewall.server import how_to_get_them, missing_packages, version
from tests.skip_reasons import leave_out


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    if missing_packages():
        leave_out(how_to_get_them(), unless="CI")
    async with guarded(tmp_path_factory.mktemp("app"), deployed(), user_requests_per_second=10.0) as app:
        yield app


@pytest.fixture(autouse=True)
def _name_the_rule_set(record_property: pytest.FixtureRequest) -> None:
    if not missing_packages():
        record_property("tested with", f"OWASP Core Rule Set {version()} on ModSecurity")  # type: ignore[operator]
