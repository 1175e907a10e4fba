"""Serves one app per module, and checks the log for identifiers after every test."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.served_app import App, served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    async with served(tmp_path_factory.mktemp("app")) as app:
        yield app


@pytest.fixture(autouse=True)
def _no_secret_is_ever_logged(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    if "app" not in request.fixturenames:
        return
    app: App = request.getfixturevalue("app")
    logged = "\n".join(
        f"{record.getMessage()}\n{record.exc_text or ''}\n{record.args!r}"
        for when in ("setup", "call")
        for record in caplog.get_records(when)
    )
    assert not [secret for secret in app.secrets if secret in logged], "a key or a user hash was logged"
