"""Tests of the flags file only; the contract of all flag sources is in `tests/contracts/`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from shared.adapters.flags.file import FileFlags
from shared.adapters.flags.port import FlagsUnavailable

GOOD = '{"feature_management": {"feature_flags": [{"id": "personalized-feed", "enabled": true}]}}'


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "JSON"),
        ("{", "line 1"),
        ("[]", "the file must be an object"),
        ("{}", "feature_management must be an object"),
        ('{"feature_management": []}', "feature_management must be an object"),
        ('{"feature_management": {}}', "feature_management.feature_flags must be a list"),
    ],
)
async def test_invalid_flags_file_is_refused_with_its_name_and_the_place(
    tmp_path: Path, content: str, complaint: str
) -> None:
    path = tmp_path / "flags.json"
    path.write_text(content)

    with pytest.raises(FlagsUnavailable, match=complaint) as refused:
        await FileFlags(path).load()

    assert str(path) in str(refused.value)


async def test_missing_flags_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FlagsUnavailable, match=r"flags\.json cannot be read: No such file"):
        await FileFlags(tmp_path / "flags.json").load()
    with pytest.raises(FlagsUnavailable, match="cannot be read"):
        await FileFlags(tmp_path).load()


async def test_edit_with_unchanged_size_and_time_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    source = FileFlags(path)
    path.write_text(GOOD.replace("true", " true"))
    os.utime(path, (1_790_000_000, 1_790_000_000))
    await source.load()

    path.write_text(GOOD.replace("true", "false"))
    os.utime(path, (1_790_000_000, 1_790_000_000))

    loaded = await source.load()
    assert loaded is not None
    assert loaded["feature_management"]["feature_flags"][0]["enabled"] is False


async def test_file_with_a_utf_8_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())

    assert await FileFlags(path).load() == json.loads(GOOD)
