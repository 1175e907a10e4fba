"""The command of the import page works, and its table of columns is the importer's."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from local.importer import DEFAULT_COLUMNS
from shared.adapters.documents.port import VIDEOS, query_all
from tests.docs.pages import ROOT, pages
from tests.served_app import served

PAGE = pages()["docs/import.md"]
VIDEOS_FILE = {"video_id": [1, 2, 3], "tag": ["a", "b,c", "a"], "author_id": [7, 7, 8], "video_duration": [30_000] * 3}
EXPOSURES_FILE = {
    "user_id": [1, 1, 2],
    "video_id": [1, 2, 3],
    "time_ms": [1_000, 2_000, 3_000],
    "play_time_ms": [25_000, 0, 9_000],
    "is_like": [1, 0, 0],
}


async def test_import_command_loads_videos_and_counts_the_log(tmp_path: Path) -> None:
    parquet.write_table(pa.table(VIDEOS_FILE), tmp_path / "videos.parquet")
    parquet.write_table(pa.table(EXPOSURES_FILE), tmp_path / "exposures.parquet")
    (block,) = [each.text for each in PAGE.blocks]
    program, *arguments = shlex.split(block)
    assert program == "python"
    data = tmp_path / "data"
    data.mkdir()
    async with served(data) as app:
        ended = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, "--url", app.url, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "DATA_FOLDER": str(data)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        telling = asyncio.create_task(ended.communicate())
        while not telling.done():
            await app.host.run_timer("roll_up")  # a timer does it in the running app
            await asyncio.sleep(0.1)
        printed = telling.result()[0].decode()
        assert ended.returncode == 0, printed
        assert "3 videos in" in printed
        assert "7 events accepted" in printed
        assert " 0 rejected" in printed
        assert "all of them counted" in printed
        tenant = arguments[arguments.index("--tenant") + 1]
        assert {each.id for each in await query_all(app.services.documents, VIDEOS, tenant)} == {"1", "2", "3"}


def test_column_table_equals_that_of_the_importer() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (`\w+`(?:, `\w+`)*) \|", PAGE.text, re.MULTILINE)
    shown = {
        field: column
        for fields, columns in rows
        for field, column in zip(re.findall(r"\w+", fields), re.findall(r"\w+", columns), strict=True)
    }
    assert shown == DEFAULT_COLUMNS
