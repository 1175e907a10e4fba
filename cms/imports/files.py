"""Converts uploaded files (JSON, JSON lines, tables) to JSON lines, one per row, for jobs to process. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from cms.forms import Fault
from cms.imports.tables import Columns, TableRow, read_table
from shared.domain.formats import VIDEO_ID
from shared.domain.json_text import UNREADABLE, InvalidJson, is_too_deep, parse, parse_rows
from shared.web.problems import Problem, bad_request

JSON_KIND, LINES_KIND, CSV_KIND = "application/json", "application/x-ndjson", "text/csv"
TABLE_KINDS = (CSV_KIND, "text/tab-separated-values", "application/csv")
MAX_FILE_BYTES = 32_000_000


@dataclass(frozen=True, slots=True)
class FileForm:
    """Format of a kind of file: the list's name in JSON, the columns of a table, and the largest number of rows."""

    list_name: str
    columns: Columns
    max_rows: int


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file. `number`: line or spreadsheet row, from 1.

    `values`: its fields, or None if `faults` say why it cannot be read. `empty`: names of columns without a value.
    """

    number: int
    values: dict[str, Any] | None
    empty: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def id(self) -> str | None:
        """The row's id if it has the form of a video id, else None."""
        id = (self.values or {}).get("id")
        return id.strip() if isinstance(id, str) and VIDEO_ID.matches(id.strip()) else None


def read_file(
    body: bytes, content_type: str, form: FileForm, *, limited: bool = True, prepare: Callable[[Row], Row] | None = None
) -> bytes:
    """Convert a file to JSON lines, one per row: from JSON `{"videos": [...]}`, from JSON lines, or from a table.

    `prepare` transforms each row before it is stored. Raises a 4xx `Problem` if the file as a whole cannot be read, or,
    with `limited`, is too large. The contents of rows are validated later, row by row.
    """
    kind = content_type.partition(";")[0].strip().lower() or JSON_KIND
    if limited and len(body) > MAX_FILE_BYTES:
        raise too_large()
    if kind == JSON_KIND:
        rows: Iterable[Row] = _listed(body, form.list_name)
    elif kind == LINES_KIND:
        rows = _json_lines(body)
    elif kind in TABLE_KINDS:
        rows = map(_table_row, read_table(body, form.columns))
    else:
        raise Problem(415, "unsupported_media_type", f"Set Content-Type to {JSON_KIND}, {LINES_KIND} or {CSV_KIND}.")
    lines = b"\n".join(map(_line, rows if prepare is None else map(prepare, rows)))
    count = count_rows(lines)
    if not count:
        raise bad_request("empty_file", "The file has no rows. Check that it is the right one.")
    if limited and count > form.max_rows:
        raise Problem(413, "too_many_rows", f"A file can have at most {form.max_rows:,} rows. Split it.")
    return lines


def too_large() -> Problem:
    """Build a 413 `Problem` for a file above `MAX_FILE_BYTES`."""
    return Problem(413, "file_too_large", f"A file can have at most {MAX_FILE_BYTES // 1_000_000} MB. Split it.")


def count_rows(lines: bytes) -> int:
    """Count the rows in the output of `read_file`."""
    return lines.count(b"\n") + 1 if lines else 0


def read_line(line: bytes, at: int) -> Row:
    """Parse a line of `read_file`. A line stored by an earlier release has no number; it gets its position `at` + 1."""
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
    # Earlier releases read the values from the field `video`, whatever the kind of rows.
    return orjson.dumps({"row": row.number, "video": row.values, "empty": row.empty, "faults": faults})


def _row(number: int, values: Any) -> Row:
    if values is UNREADABLE:
        return Row(number, None, faults=(Fault("", "invalid_json", "The row is not valid JSON."),))
    if not isinstance(values, dict):
        return Row(number, None, faults=(Fault("", "not_an_object", "The row must be a JSON object."),))
    if is_too_deep(values):
        return Row(
            number,
            None,
            faults=(Fault("", "invalid_json", "The row has too many levels of nested objects and lists. Flatten it."),),
        )
    return Row(number, values)


def _listed(body: bytes, list_name: str) -> Iterator[Row]:
    try:
        parsed = parse_rows(body, list_name)
    except InvalidJson:
        raise bad_request("invalid_json", "The file is not valid JSON.") from None
    rows = parsed.get(list_name) if isinstance(parsed, dict) else parsed
    if not isinstance(rows, list):
        raise bad_request("invalid_file", f'The file must look like {{"{list_name}": [...]}}.')
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
