"""Applies a row of an import to the stored video, or creates a video from it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cms.forms import Fault, check
from cms.imports.files import FileForm, Row
from cms.imports.tables import NONE_WORD, Columns
from cms.videos.models import (
    FIELDS,
    LISTS,
    NUMBERS,
    OBJECTS,
    OPTIONAL,
    WHOLE_NUMBERS,
    NewVideoForm,
    VideoForm,
    editable_video,
    same_content,
    video_document,
)
from cms.videos.takedowns import ACTIVE, kept_for_restore
from shared.adapters.documents.port import Json

MAX_ROWS_AT_ONCE = 1_000
"""Files with more rows become a job."""
CREATED, UPDATED, UNCHANGED, REJECTED = STATUSES = ("created", "updated", "unchanged", "rejected")

VIDEO_FILE = FileForm(
    "videos",
    Columns(
        names=tuple(dict.fromkeys(("id", *FIELDS, *sorted(NewVideoForm.read_only)))),
        numbers=(*NUMBERS, *WHOLE_NUMBERS),
        lists=LISTS,
        objects=OBJECTS,
        optional=OPTIONAL,
        required="id",
    ),
    max_rows=50_000,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a row; `status` is one of `STATUSES`. `notes`: fields not applied although the row was accepted."""

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


def apply_row(row: Row, stored: Json | None, now: float, who: str) -> tuple[Outcome, Json | None]:
    """Apply a row; return its outcome and the document to write, None if nothing changes or the row is rejected.

    A row changes only the fields that it has; a new video needs every required field. A status for a taken-down video
    is stored for its restore, and a note says so.
    """
    if row.values is None or row.faults:
        return Outcome(row.number, row.id, REJECTED, row.faults), None
    if stored is None:
        form, faults = check(NewVideoForm, row.values)
        if form is None:
            return Outcome(row.number, row.id, REJECTED, tuple(faults)), None
        return Outcome(row.number, form.id, CREATED), video_document(form.id, form, now, who, None)
    fields = {name: value for name, value in row.values.items() if name != "id"}
    changed, faults = check(VideoForm, {**editable_video(stored), **fields}, stored)
    if changed is None:
        return Outcome(row.number, row.id, REJECTED, tuple(faults)), None
    document = video_document(stored["id"], changed, now, who, stored)
    status = UNCHANGED if same_content(document, stored) else UPDATED
    notes = (*kept_for_restore(changed.sent_status, stored), *_notes(row, stored))
    outcome = Outcome(row.number, row.id, status, notes=notes)
    return outcome, None if status == UNCHANGED else document


def _notes(row: Row, stored: Json) -> Iterator[Fault]:
    """Build notes for fields that keep their value although their cell is empty."""
    for name in row.empty:
        if name in OPTIONAL and stored.get(name) not in (None, "", [], {}, 0, ACTIVE):
            what = f"The cell is empty, so {name} stays as it is. Write {NONE_WORD} to empty it."
            yield Fault(name, "empty_cell", what)
