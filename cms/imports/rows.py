"""A file of videos as rows, and what one row does to what is stored. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from cms.forms import Fault, check
from cms.videos.models import (
    LISTS,
    NUMBERS,
    NewVideoForm,
    VideoForm,
    editable_video,
    same_content,
    video_document,
)
from shared.adapters.documents.port import Json
from shared.web.problems import Problem, bad_request

JSON_KIND, LINES_KIND, CSV_KIND = "application/json", "application/x-ndjson", "text/csv"
MAX_FILE_BYTES = 32_000_000
MAX_ROWS = 50_000
MAX_ROWS_AT_ONCE = 1_000
"""More rows than this become a job."""
CREATED, UPDATED, UNCHANGED, REJECTED = STATUSES = ("created", "updated", "unchanged", "rejected")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row; `status` is one of `STATUSES`. `row` counts from 1, as in a spreadsheet."""

    row: int
    id: str | None
    status: str
    faults: tuple[Fault, ...] = ()

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {"row": self.row, "id": self.id, "status": self.status}
        if self.faults:
            row["errors"] = [fault.to_json() for fault in self.faults]
        return row


def read_file(body: bytes, content_type: str) -> bytes:
    """Convert a file to JSON lines, one per row: from JSON `{"videos": [...]}`, from JSON lines, or from CSV.

    Raises a 4xx `Problem` when the file as a whole cannot be read. What a row holds is checked later, row by row.
    """
    kind = content_type.partition(";")[0].strip().lower() or JSON_KIND
    if len(body) > MAX_FILE_BYTES:
        raise too_large()
    if kind == JSON_KIND:
        lines = b"\n".join(map(orjson.dumps, _videos(body)))
    elif kind == LINES_KIND:
        lines = b"\n".join(line for line in body.splitlines() if line.strip())
    elif kind == CSV_KIND:
        lines = b"\n".join(map(orjson.dumps, _table(body)))
    else:
        raise Problem(415, "unsupported_media_type", f"Send {JSON_KIND}, {LINES_KIND} or {CSV_KIND}.")
    rows = count_rows(lines)
    if not rows:
        raise bad_request("empty_file", "The file has no rows.")
    if rows > MAX_ROWS:
        raise Problem(413, "too_many_rows", f"A file can have at most {MAX_ROWS:,} rows: split it.")
    return lines


def too_large() -> Problem:
    """413."""
    return Problem(413, "file_too_large", f"A file can have at most {MAX_FILE_BYTES // 1_000_000} MB: split it.")


def count_rows(lines: bytes) -> int:
    """Rows of a file that `read_file` made."""
    return lines.count(b"\n") + 1 if lines else 0


def _videos(body: bytes) -> list[Any]:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad_request("invalid_json", "The file is not JSON.") from None
    rows = parsed.get("videos") if isinstance(parsed, dict) else parsed
    if not isinstance(rows, list):
        raise bad_request("invalid_file", 'The file must look like {"videos": [...]}.')
    return rows


def _table(body: bytes) -> Iterator[dict[str, Any]]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise bad_request("invalid_csv", "The file is not UTF-8: save it as 'CSV UTF-8'.") from None
    head = text.partition("\n")[0]
    delimiter = ";" if head.count(";") > head.count(",") else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    if "id" not in (reader.fieldnames or ()):
        raise bad_request("invalid_csv", "The first line must name the columns, and one of them must be id.")
    try:
        for row in reader:
            if None in row:
                yield {**_row_from_text(row), "(more cells than columns)": True}
            else:
                yield _row_from_text(row)
    except csv.Error:
        raise bad_request("invalid_csv", "The file is not a table that can be read.") from None


def _row_from_text(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a table as JSON. Empty cells are left out."""
    return {
        name: _value_from_text(name, text.strip())
        for name, text in row.items()
        if name is not None and isinstance(text, str) and text.strip()
    }


def _value_from_text(name: str, text: str) -> object:
    """A cell as JSON: numbers are read, lists split at `|`. What is no number stays text, and is refused later."""
    if name in LISTS:
        return [part.strip() for part in text.split("|") if part.strip()]
    if name in NUMBERS:
        try:
            return float(text)
        except ValueError:
            return text
    return text


def parse_row(line: bytes) -> tuple[str | None, dict[str, Any] | None, list[Fault]]:
    """A line's id and payload, or the faults for which it has none."""
    try:
        payload = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None, None, [Fault("", "invalid_json", "The row is not JSON.")]
    if not isinstance(payload, dict):
        return None, None, [Fault("", "not_an_object", "The row is not a JSON object.")]
    id = payload.get("id")
    return (id if isinstance(id, str) else None), payload, []


def apply_row(
    payload: dict[str, Any], stored: Json | None, now: float, who: str
) -> tuple[str, Json | None, list[Fault]]:
    """What a row makes of a video: the status, the document to write (None when there is none), and the faults.

    A row changes the fields that it names, so a file can hold only some, and a video that was taken down stays down
    unless the row says otherwise. A new video needs every required field.
    """
    if stored is None:
        form, faults = check(NewVideoForm, payload)
        if form is None:
            return REJECTED, None, faults
        return CREATED, video_document(form.id, form, now, who, None), []
    fields = {name: value for name, value in payload.items() if name != "id"}
    changed, faults = check(VideoForm, {**editable_video(stored), **fields}, stored)
    if changed is None:
        return REJECTED, None, faults
    document = video_document(stored["id"], changed, now, who, stored)
    return (UNCHANGED, None, []) if same_content(document, stored) else (UPDATED, document, [])
