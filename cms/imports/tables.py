"""Parses CSV tables of spreadsheets and databases: UTF-8 or UTF-16, with commas, semicolons or tabs. Pure.

A row keeps its number in the spreadsheet: an empty row counts, a cell of several lines counts once, and a first line
`sep=;` does not count, because spreadsheets hide it.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from cms.forms import Fault, shown_name
from shared.web.problems import Problem, bad_request

NONE_WORD = "none"
"""A cell with this word empties the field."""
NOT_UTF8 = "not_utf8"
_NONE_WORDS = frozenset((NONE_WORD, "null", "\\n"))
"""The same word and its spellings in databases, in lower case."""
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?\r?\n', re.IGNORECASE)
_NOT_FOLDED = re.compile(r"[^a-z0-9]+")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_GROUPED = re.compile(r"[0-9]{1,3}(,[0-9]{3})+")
csv.field_size_limit(1_000_000)


@dataclass(frozen=True, slots=True)
class Columns:
    """Known columns of a kind of table.

    `numbers`, `lists`: columns of these types; `objects`: lists or maps in JSON; `optional`: columns that the word
    `none` can empty; `required`: the column that a table must have.
    """

    names: Sequence[str]
    numbers: Sequence[str]
    lists: Sequence[str]
    objects: Sequence[str]
    optional: Sequence[str]
    required: str


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row as JSON. `empty`: names of columns with an empty cell; `faults`: cells that cannot be read."""

    number: int
    values: dict[str, Any]
    empty: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()


def read_table(body: bytes, columns: Columns) -> list[TableRow]:
    """Parse the rows below the header, skipping empty ones. Raises a 400 `Problem` if the table cannot be read.

    Column names match regardless of case, spaces, dashes and underscores.
    """
    text = _decoded(body)
    separator = _SEPARATOR_LINE.match(text)
    if separator:
        text = text[separator.end() :]
    delimiter = separator[1] if separator else _delimiter(text)
    records = [
        (number, cells) for number, cells in enumerate(_records(text, delimiter), 1) if any(map(str.strip, cells))
    ]
    names = _header(records[0][1] if records else [], columns)
    rows = [_row(number, cells, names, columns, delimiter) for number, cells in records[1:]]
    if rows and all(fault.code == NOT_UTF8 for row in rows for fault in row.faults) and all(row.faults for row in rows):
        raise bad_request("invalid_csv", "The file is not in UTF-8. Save it as 'CSV UTF-8'.")
    return rows


def _decoded(body: bytes) -> str:
    """Decode the file. A byte that is not UTF-8 becomes a surrogate, and the row with it is refused later."""
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return body.decode("utf-16")
        except UnicodeDecodeError:
            pass
    return body.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")


def _delimiter(text: str) -> str:
    """Detect the delimiter: the most frequent of comma, semicolon and tab in the header."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t", key=header.count)


def _records(text: str, delimiter: str) -> list[list[str]]:
    read: list[list[str]] = []
    try:
        for record in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            read.append(record)
        return read
    except csv.Error as error:
        if "unexpected end" in str(error):
            what = (
                f"Row {len(read) + 1} has a quotation mark that is not closed, so the rows after it cannot be read. "
                "Close it."
            )
            raise bad_request("invalid_csv", what) from None
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error:
        raise bad_request("invalid_csv", "The file cannot be read as a table. Save it as 'CSV UTF-8'.") from None


# ---- the header


def folded(name: str) -> str:
    """Normalize a column name: lower case, without spaces, dashes and underscores."""
    return _NOT_FOLDED.sub("", name.lower())


def _header(cells: Sequence[str], columns: Columns) -> list[str]:
    """Return the name of each column. An unknown name stays as it is, and its cells are refused later."""
    known = {folded(name): name for name in columns.names}
    names = [known.get(folded(cell), cell.strip()) for cell in cells]
    if columns.required not in names:
        what = f"The first line must name the columns, and one of them must be {columns.required}."
        raise bad_request("invalid_csv", what)
    for at, name in enumerate(names):
        first = names.index(name)
        if name and first < at:
            what = f"Columns {first + 1} and {at + 1} are both {shown_name(name)}: remove or rename one."
            raise Problem(400, "duplicate_column", what)
    return names


# ---- rows


def _row(number: int, cells: Sequence[str], names: Sequence[str], columns: Columns, delimiter: str) -> TableRow:
    values: dict[str, Any] = {}
    empty: list[str] = []
    faults: list[Fault] = []
    for at, cell in enumerate(cells):
        text, name = cell.strip(), names[at] if at < len(names) else ""
        if not text:
            if name:
                empty.append(name)
        elif not name:
            faults.append(
                Fault(
                    "",
                    "unnamed_column",
                    f"Cell {at + 1} of the row is in a column without a name. Name the column in the first line.",
                )
            )
        elif any("\ud800" <= character <= "\udfff" for character in text):
            what = f"{shown_name(name)} is not in UTF-8. Save the file as 'CSV UTF-8'."
            faults.append(Fault(shown_name(name), NOT_UTF8, what))
        else:
            value = _value(name, text, columns, delimiter)
            if isinstance(value, Fault):
                faults.append(value)
            else:
                values[name] = value
    empty += names[len(cells) :]
    return TableRow(number, values, tuple(name for name in empty if name), tuple(faults))


def _value(name: str, text: str, columns: Columns, delimiter: str) -> object:
    """Convert a cell to JSON, or to a fault. Text in a column of numbers stays text and is refused later."""
    if name in columns.optional and text.lower() in _NONE_WORDS:
        return None
    if name in columns.lists:
        return _list(name, text)
    if name in columns.numbers:
        return _number(name, text, delimiter)
    return _object(name, text) if name in columns.objects else text


def _object(name: str, text: str) -> object:
    """Parse a list or map in JSON."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if isinstance(found, list | dict):
        return found
    return Fault(name, "unclear_object", f"{name} must be a JSON object.")


def _list(name: str, text: str) -> object:
    """Split entries at |, or else at commas, semicolons or line breaks; or parse a list in JSON."""
    if text.startswith(("[", "{")):
        try:
            entries = orjson.loads(text)
        except orjson.JSONDecodeError:
            entries = None
        if not isinstance(entries, list):
            return Fault(name, "unclear_list", f'Write the values of {name} as a|b, as a, b or as ["a", "b"].')
        return entries
    parts = text.split("|") if "|" in text else re.split(r"[,;\n]", text)
    return [part.strip() for part in parts if part.strip()]


def _number(name: str, text: str, delimiter: str) -> object:
    """Parse a number. A decimal comma is accepted if it is unambiguous, as in files delimited by semicolons."""
    if _DECIMAL_COMMA.fullmatch(text):
        if delimiter != ";" and _GROUPED.fullmatch(text):
            return Fault(
                name,
                "unclear_number",
                f"{name} has a comma that can separate thousands or decimals. Write a decimal point.",
            )
        text = text.replace(",", ".")
    if not _NUMBER.fullmatch(text):
        return text
    number = float(text)
    return number if number - number == 0 else text
