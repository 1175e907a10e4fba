"""A file of videos as rows, and what one row does to what is stored. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from cms.forms import Fault, check
from cms.imports.tables import NONE_WORD, Columns, TableRow, read_table
from cms.videos.models import (
    FIELDS,
    LISTS,
    NUMBERS,
    OBJECTS,
    OPTIONAL,
    SIZES,
    NewVideoForm,
    VideoForm,
    editable_video,
    same_content,
    video_document,
)
from cms.videos.takedowns import ACTIVE, kept_for_restore
from shared.adapters.documents.port import Json
from shared.domain.formats import VIDEO_ID
from shared.domain.json_text import UNREADABLE, InvalidJson, is_too_deep, parse, parse_rows
from shared.web.problems import Problem, bad_request

JSON_KIND, LINES_KIND, CSV_KIND = "application/json", "application/x-ndjson", "text/csv"
TABLE_KINDS = (CSV_KIND, "text/tab-separated-values", "application/csv")
MAX_FILE_BYTES = 32_000_000
MAX_ROWS = 50_000
MAX_ROWS_AT_ONCE = 1_000
"""More rows than this become a job."""
CREATED, UPDATED, UNCHANGED, REJECTED = STATUSES = ("created", "updated", "unchanged", "rejected")


TABLE_COLUMNS = Columns(
    names=tuple(dict.fromkeys(("id", *FIELDS, *sorted(NewVideoForm.read_only)))),
    numbers=(*NUMBERS, *SIZES),
    lists=LISTS,
    objects=OBJECTS,
    optional=OPTIONAL,
)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file. `number` is what its author knows it by: the line, or the row of the spreadsheet, from 1.

    `video` is what it says of a video, None when `faults` say why it cannot be read. `empty`: columns without a value.
    """

    number: int
    video: dict[str, Any] | None
    empty: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def id(self) -> str | None:
        """The id, if it can be a video's."""
        id = (self.video or {}).get("id")
        return id.strip() if isinstance(id, str) and VIDEO_ID.matches(id.strip()) else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row; `status` is one of `STATUSES`. `notes`: what it did not do although it is accepted."""

    row: int
    id: str | None
    status: str
    faults: tuple[Fault, ...] = ()
    notes: tuple[Fault, ...] = ()

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {"row": self.row, "id": self.id, "status": self.status}
        if self.faults:
            row["errors"] = [fault.to_json() for fault in self.faults]
        if self.notes:
            row["notes"] = [note.to_json() for note in self.notes]
        return row


def read_file(body: bytes, content_type: str, *, limited: bool = True) -> bytes:
    """Convert a file to JSON lines, one per row: from JSON `{"videos": [...]}`, from JSON lines, or from a table.

    Raises a 4xx `Problem` when the file as a whole cannot be read, or is longer than allowed and `limited`. What a row
    holds is checked later, row by row.
    """
    kind = content_type.partition(";")[0].strip().lower() or JSON_KIND
    if limited and len(body) > MAX_FILE_BYTES:
        raise too_large()
    if kind == JSON_KIND:
        rows: Iterable[Row] = _videos(body)
    elif kind == LINES_KIND:
        rows = _json_lines(body)
    elif kind in TABLE_KINDS:
        rows = map(_table_row, read_table(body, TABLE_COLUMNS))
    else:
        raise Problem(415, "unsupported_media_type", f"Send {JSON_KIND}, {LINES_KIND} or {CSV_KIND}.")
    lines = b"\n".join(map(_line, rows))
    count = count_rows(lines)
    if not count:
        raise bad_request("empty_file", "The file has no rows.")
    if limited and count > MAX_ROWS:
        raise Problem(413, "too_many_rows", f"A file can have at most {MAX_ROWS:,} rows: split it.")
    return lines


def too_large() -> Problem:
    """413."""
    return Problem(413, "file_too_large", f"A file can have at most {MAX_FILE_BYTES // 1_000_000} MB: split it.")


def count_rows(lines: bytes) -> int:
    """Rows of a file that `read_file` made."""
    return lines.count(b"\n") + 1 if lines else 0


def read_line(line: bytes, at: int) -> Row:
    """The row of a line that `read_file` made, or that a release before this one stored, numbered by its place."""
    try:
        read = parse(line)
    except InvalidJson:
        read = UNREADABLE
    if isinstance(read, dict) and read.keys() == {"row", "video", "empty", "faults"}:
        faults = tuple(Fault(**each) for each in read["faults"])
        return Row(read["row"], read["video"], tuple(read["empty"]), faults)
    return _row(at + 1, read)


def _line(row: Row) -> bytes:
    faults = [fault.to_json() for fault in row.faults]
    return orjson.dumps({"row": row.number, "video": row.video, "empty": row.empty, "faults": faults})


def _row(number: int, video: Any) -> Row:
    if video is UNREADABLE:
        return Row(number, None, faults=(Fault("", "invalid_json", "The row is not JSON."),))
    if not isinstance(video, dict):
        return Row(number, None, faults=(Fault("", "not_an_object", "The row is not a JSON object."),))
    if is_too_deep(video):
        return Row(number, None, faults=(Fault("", "invalid_json", "The row is nested too deeply."),))
    return Row(number, video)


def _videos(body: bytes) -> Iterator[Row]:
    try:
        parsed = parse_rows(body, "videos")
    except InvalidJson:
        raise bad_request("invalid_json", "The file is not JSON.") from None
    rows = parsed.get("videos") if isinstance(parsed, dict) else parsed
    if not isinstance(rows, list):
        raise bad_request("invalid_file", 'The file must look like {"videos": [...]}.')
    return (_row(number, row) for number, row in enumerate(rows, start=1))


def _json_lines(body: bytes) -> Iterator[Row]:
    for number, line in enumerate(body.splitlines(), start=1):
        if line.strip():
            try:
                yield _row(number, parse(line))
            except InvalidJson:
                yield _row(number, UNREADABLE)


def _table_row(row: TableRow) -> Row:
    return Row(row.number, row.values, row.empty, row.faults)


def apply_row(row: Row, stored: Json | None, now: float, who: str) -> tuple[Outcome, Json | None]:
    """What a row makes of a video, and the document to write, None when there is none.

    A row changes the fields that it names, so a file can hold only some. A status for a video that is taken down is
    kept for its restoring, and a note says so. A new video needs every required field.
    """
    if row.video is None or row.faults:
        return Outcome(row.number, row.id, REJECTED, row.faults), None
    if stored is None:
        form, faults = check(NewVideoForm, row.video)
        if form is None:
            return Outcome(row.number, row.id, REJECTED, tuple(faults)), None
        return Outcome(row.number, form.id, CREATED), video_document(form.id, form, now, who, None)
    fields = {name: value for name, value in row.video.items() if name != "id"}
    changed, faults = check(VideoForm, {**editable_video(stored), **fields}, stored)
    if changed is None:
        return Outcome(row.number, row.id, REJECTED, tuple(faults)), None
    document = video_document(stored["id"], changed, now, who, stored)
    status = UNCHANGED if same_content(document, stored) else UPDATED
    notes = (*kept_for_restore(changed.sent_status, stored), *_notes(row, stored))
    outcome = Outcome(row.number, row.id, status, notes=notes)
    return outcome, None if status == UNCHANGED else document


def _notes(row: Row, stored: Json) -> Iterator[Fault]:
    """Fields that keep their value although their cell is empty."""
    for name in row.empty:
        if name in OPTIONAL and stored.get(name) not in (None, "", [], {}, 0, ACTIVE):
            what = f"The cell is empty, so {name} stays as it is. Write {NONE_WORD} to empty it."
            yield Fault(name, "empty_cell", what)
