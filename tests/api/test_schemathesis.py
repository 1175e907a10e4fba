"""Requests generated from the API document get documented responses. The sample is fixed; `make fuzz` runs longer."""

from __future__ import annotations

from pathlib import Path

from tests.api.fuzzing import fuzz
from tests.media.served_media import served_with_media


async def test_generated_requests_get_only_documented_responses(tmp_path: Path) -> None:
    async with served_with_media(tmp_path) as app:
        outcome = await fuzz(app, cases=3, seed=1)
    assert outcome.passed, outcome.report
    assert outcome.cases > 100, outcome.report
