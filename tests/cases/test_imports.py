"""Files from spreadsheets and other systems: unambiguous values are read, others are refused by row."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from cms.imports.job_queue import FAILURES_ALLOWED
from local import importer
from shared.adapters.blobs.port import UPLOADS
from shared.adapters.documents.port import StoreRefused
from tests.cases.test_bodies import BROKEN
from tests.cms.editor import VIDEO, Editor, new_editor
from tests.served_app import Answer, App

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEAD = ["id", "title", "playbackUrl", "mainTag", "tags", "durationSeconds", "maturityRating"]
CELLS = ["v1", "Core", "https://x.example/v", "fitness", "a|b", "12.5", "PG"]


def table(*rows: list[str], separator: str = ",", head: list[str] | None = None) -> bytes:
    def cell(text: str) -> str:
        return f'"{text.replace(chr(34), chr(34) * 2)}"' if any(c in text for c in f'{separator}"\n') else text

    return "\n".join(separator.join(map(cell, row)) for row in (head or HEAD, *rows)).encode()


def row(**cells: str) -> list[str]:
    return [cells.get(name, cell) for name, cell in zip(HEAD, CELLS, strict=True)]


async def sent(editor: Editor, body: bytes, kind: str = "text/csv") -> Answer:
    return await editor.post("imports", body, {"Content-Type": kind})


async def imported(app: App, body: bytes, kind: str = "text/csv") -> tuple[Answer, dict[str, Any]]:
    """Return the report, and the video v1 as read back."""
    editor = await new_editor(app)
    return await sent(editor, body, kind), (await editor.get("videos/v1")).json


def errors(answer: Answer, at: int = 0) -> list[str]:
    return [error["message"] for error in answer.json["rows"][at].get("errors", [])]


# ---- one malformed row


@pytest.mark.parametrize("name", BROKEN)
async def test_one_broken_json_row_is_rejected_and_the_others_are_written(app: App, name: str) -> None:
    editor = await new_editor(app)
    good = [orjson.dumps({"id": f"v{n}", **VIDEO}) for n in range(2)]
    bad = b'{"id": "v9", "note": %b}' % BROKEN[name]
    rows = [good[0], bad, good[1]]
    for body, kind in (
        (b'{"videos": [%b]}' % b",".join(rows), "application/json"),
        (b"\n".join(rows), "application/x-ndjson"),
    ):
        answer = await sent(editor, body, kind)
        assert [(each["row"], each["status"] == "rejected") for each in answer.json["rows"]] == [
            (1, False), (2, True), (3, False),
        ]  # fmt: skip


async def test_row_that_is_not_utf_8_is_rejected_alone(app: App) -> None:
    editor = await new_editor(app)
    body = table(row(), row(id="v2", title="CAFE"), row(id="v3")).replace(b"CAFE", b"caf\xe9")
    answer = await sent(editor, body)
    assert [each["status"] for each in answer.json["rows"]] == ["created", "rejected", "created"]
    assert errors(answer, 1) == ["title is not in UTF-8. Save the file as 'CSV UTF-8'."]


# ---- table formats


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
async def test_comma_semicolon_and_tab_tables_are_read_with_and_without_a_bom(
    app: App, separator: str, mark: bytes
) -> None:
    answer, video = await imported(app, mark + table(row(), separator=separator))
    assert answer.json["counts"] == {"created": 1}
    assert (video["tags"], video["durationSeconds"]) == (["a", "b"], 12.5)


async def test_utf_16_table_of_a_spreadsheet_is_read(app: App) -> None:
    _, video = await imported(app, table(row(title="Größe"), separator="\t").decode().encode("utf-16"))
    assert video["title"] == "Größe"


@pytest.mark.parametrize("first", ["sep=;\n", "sep=;\r\n", '"sep=;"\n', "SEP=;\n"])
async def test_first_line_that_names_the_separator_is_applied_and_is_no_row(app: App, first: str) -> None:
    answer, video = await imported(app, first.encode() + table(row(), separator=";"))
    assert video["title"] == "Core"
    assert answer.json["rows"][0]["row"] == 2


@pytest.mark.parametrize(
    "head", ["Id, Title,playback_url,Main tag,TAGS,Duration Seconds, maturity-rating",
     '"id ",title,PlaybackURL,mainTag,Tags,durationseconds,Maturity Rating']
)  # fmt: skip
async def test_column_names_are_read_in_any_spelling(app: App, head: str) -> None:
    answer, _ = await imported(app, f"{head}\n{','.join(CELLS)}".encode())
    assert answer.json["counts"] == {"created": 1}


@pytest.mark.parametrize("twice", ["title", "Title", " title "])
async def test_duplicate_column_is_refused_by_name(app: App, twice: str) -> None:
    answer, _ = await imported(app, f"id,title,{twice}\nv1,a,b".encode())
    assert (answer.status, answer.code) == (400, "duplicate_column")
    assert answer.json["detail"] == "Columns 2 and 3 are both title: remove or rename one."


async def test_empty_rows_and_unnamed_columns_are_skipped(app: App) -> None:
    editor = await new_editor(app)
    head = [*HEAD, "", ""]
    blank = [""] * len(head)
    answer = await sent(editor, table([*row(), "", ""], blank, [" "] * 3, [*row(id="v2"), "", ""], blank, head=head))
    assert [(each["row"], each["status"]) for each in answer.json["rows"]] == [(2, "created"), (5, "created")]
    lost = await sent(editor, table([*row(), "", "note"], head=head))
    assert errors(lost) == ["Cell 9 of the row is in a column without a name. Name the column in the first line."]


async def test_row_numbers_match_the_spreadsheet(app: App) -> None:
    editor = await new_editor(app)
    head, good, bad = (",".join(HEAD), ",".join(row()), ",".join(row(id="v3", durationSeconds="x")))
    two_lines = ",".join(row(id="v2", title='"two\nlines"'))
    answer = await sent(editor, "\n".join([head, "", good, "", two_lines, bad]).encode())
    assert [(each["row"], each["status"]) for each in answer.json["rows"]] == [
        (3, "created"), (5, "created"), (6, "rejected"),
    ]  # fmt: skip


async def test_json_lines_are_numbered_by_line(app: App) -> None:
    editor = await new_editor(app)
    body = b"\n\n" + orjson.dumps({"id": "v1", **VIDEO}) + b"\n\n{}"
    answer = await sent(editor, body, "application/x-ndjson")
    assert [each["row"] for each in answer.json["rows"]] == [3, 5]


async def test_unclosed_quotation_mark_loses_no_rows_silently(app: App) -> None:
    answer, _ = await imported(app, table(row()) + b'\nv2,"open,x\nv3,a,b')
    assert answer.code == "invalid_csv"
    assert answer.json["detail"].startswith("Row 3 has a quotation mark that is not closed")


# ---- cells


@pytest.mark.parametrize(
    ("cell", "tags"),
    [("a|b", ["a", "b"]), ("a, b, c", ["a", "b", "c"]), ("a;b", ["a", "b"]), ("a\nb", ["a", "b"]),
     ('["home","gym"]', ["home", "gym"]), ('["rock, paper"]', ["rock, paper"]), ("rock, paper|", ["rock, paper"])],
)  # fmt: skip
async def test_list_is_read_in_any_common_notation(app: App, cell: str, tags: list[str]) -> None:
    _, video = await imported(app, table(row(tags=cell)))
    assert video["tags"] == tags


@pytest.mark.parametrize("cell", ["['home', 'gym']", "{home,gym}", '["home"', '{"a": 1}', "[home]"])
async def test_list_in_a_foreign_notation_is_refused(app: App, cell: str) -> None:
    answer, _ = await imported(app, table(row(tags=cell)))
    assert errors(answer) == ['Write the values of tags as a|b, as a, b or as ["a", "b"].']


@pytest.mark.parametrize(
    ("separator", "cell", "seconds"),
    [(",", "12,5", 12.5), (";", "12,5", 12.5), (";", "1,234", 1.234), ("\t", "12,5", 12.5), (",", "41000 ms", 41),
     (",", "30000 s", 30_000), (",", "1:02:03", 3723), (",", "1.5 min", 90), (",", "1e2", 100)],
)  # fmt: skip
async def test_duration_is_read_with_a_decimal_comma_or_a_unit(
    app: App, separator: str, cell: str, seconds: float
) -> None:
    answer, video = await imported(app, table(row(durationSeconds=cell), separator=separator))
    assert answer.json["counts"] == {"created": 1}, errors(answer)
    assert video["durationSeconds"] == seconds


@pytest.mark.parametrize(
    ("cell", "word"),
    [("41000", "Milliseconds"), ("4_1", "number"), ("1,234", "thousands"), ("1:30", "minutes"), ("nan", "number"),
     ("inf", "number"), ("0x29", "number"), ("1e999", "number"), ("-5", "more than 0"), ("120000", "Milliseconds")],
)  # fmt: skip
async def test_ambiguous_duration_is_refused(app: App, cell: str, word: str) -> None:
    answer, _ = await imported(app, table(row(durationSeconds=cell)))
    assert answer.json["counts"] == {"rejected": 1}
    assert word in errors(answer)[0]


async def test_milliseconds_are_refused_by_every_api_and_import(app: App) -> None:
    editor = await new_editor(app)
    bad = {**VIDEO, "durationSeconds": 41_000}
    assert (await editor.post("videos", {"id": "v1", **bad})).json["errors"][0]["code"] == "unclear_unit"
    assert (await editor.post("imports", {"videos": [{"id": "v1", **bad}]})).json["counts"] == {"rejected": 1}
    long = await editor.post("videos", {"id": "v2", **VIDEO, "durationSeconds": "41000 s"})
    assert long.json["durationSeconds"] == 41_000
    assert (await editor.change("PATCH", "videos/v2", {"title": "Longest"})).status == 200


@pytest.mark.parametrize(
    ("cell", "time"),
    [("1763640000", "2025-11-20T12:00:00Z"), ("20261231", "2026-12-31T00:00:00Z"),
     ("2026-12-31", "2026-12-31T00:00:00Z"),
     ("2026/12/31", "2026-12-31T00:00:00Z"), ("2026-12-31 18:30", "2026-12-31T18:30:00Z"),
     ("2026-12-31t18:30:00z", "2026-12-31T18:30:00Z"), ("2026-12-31T18:30:00+02:00", "2026-12-31T16:30:00Z")],
)  # fmt: skip
async def test_unambiguous_time_is_read(app: App, cell: str, time: str) -> None:
    _, video = await imported(app, table([*row(), cell], head=[*HEAD, "publishedAt"]))
    assert video["publishedAt"] == time


@pytest.mark.parametrize(
    ("cell", "word"),
    [("31.12.2026", "year first, such as 2026-12-31"), ("12/31/2026", "year first"), ("31 Dec 2026", "year first"),
     ("46387", "spreadsheet's day"), ("46387.75", "spreadsheet's day"), ("46387,75", "spreadsheet's day"),
     ("2026", "spreadsheet's day"), ("1763640000000", "seconds since 1970"), ("soon", "2026-11-20T12:00:00Z")],
)  # fmt: skip
async def test_ambiguous_time_is_refused_by_name(app: App, cell: str, word: str) -> None:
    answer, _ = await imported(app, table([*row(), cell], head=[*HEAD, "publishedAt"]))
    assert answer.json["counts"] == {"rejected": 1}
    assert word in errors(answer)[0]


@pytest.mark.parametrize("day", [46_387, 46_387.5, 20_261_231])
async def test_spreadsheet_day_number_is_refused_as_a_time_in_json(app: App, day: float) -> None:
    editor = await new_editor(app)
    answer = await editor.post("videos", {"id": "v1", **VIDEO, "publishedAt": day})
    assert answer.json["errors"][0]["code"] == "unclear_unit"


@pytest.mark.parametrize("word", ["none", "None", "NULL", "null", "\\N"])
async def test_placeholder_for_none_empties_a_field(app: App, word: str) -> None:
    editor = await new_editor(app)
    full = {**VIDEO, "creatorId": "anna", "expiresAt": "2099-01-01", "language": "en", "popularityOverride": 5}
    await editor.post("videos", {"id": "v1", **full})
    names = ["tags", "creatorId", "expiresAt", "language", "popularityOverride"]
    answer = await sent(editor, table(["v1", *[word] * 5], head=["id", *names]))
    assert answer.json["counts"] == {"updated": 1}
    video = (await editor.get("videos/v1")).json
    assert [video[name] for name in names] == [[], "", None, None, None]


async def test_emptied_cells_are_reported_because_they_change_nothing(app: App) -> None:
    editor = await new_editor(app)
    await editor.post("videos", {"id": "v1", **VIDEO, "expiresAt": "2099-01-01"})
    answer = await sent(editor, table(["v1", "", "", ""], head=["id", "expiresAt", "tags", "creatorId"]))
    (reported,) = answer.json["rows"]
    assert reported["status"] == "unchanged"
    assert [note["field"] for note in reported["notes"]] == ["expiresAt", "tags"]
    assert reported["notes"][0]["message"] == "The cell is empty, so expiresAt stays as it is. Write none to empty it."
    assert (await editor.get("videos/v1")).json["tags"] == ["fitness", "home"]


@pytest.mark.parametrize("word", ["NULL", "NaN", "#N/A", "undefined", "\\N"])
async def test_placeholder_for_none_is_refused_as_a_name(app: App, word: str) -> None:
    editor = await new_editor(app)
    for name in ("creatorId", "title", "mainTag"):
        answer = await editor.post("videos", {"id": "v1", **VIDEO, name: word})
        assert answer.json["errors"][0]["code"] == "placeholder"
    nested = await editor.post("videos", {"id": "v1", **VIDEO, "tags": ['["home","gym"]']})
    assert nested.json["errors"][0]["code"] == "list_in_text"


# ---- jobs


def many(count: int, **fields: Any) -> bytes:
    return b"\n".join(orjson.dumps({"id": f"v{n:05}", **VIDEO, **fields}) for n in range(count))


async def queued(editor: Editor, body: bytes) -> str:
    answer = await sent(editor, body, "application/x-ndjson")
    assert answer.status == 202
    return str(answer.json["id"])


async def test_no_batch_is_longer_than_the_store_accepts(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = await new_editor(app)
    write, sizes = app.documents.write, []

    async def measured(container: Any, partition: str, operations: Any) -> Any:
        sizes.append(sum(len(json.dumps(each.body)) for each in operations if hasattr(each, "body")))
        return await write(container, partition, operations)

    monkeypatch.setattr(app.documents, "write", measured)
    fat = {
        "title": "🎬" * 200,
        "tags": [f"{n:02}" + "🎬" * 60 for n in range(20)],
        "playbackUrl": "https://x.example/" + "a" * 1_900,
    }
    at_once = await sent(editor, many(400, **fat), "application/x-ndjson")
    assert at_once.json["counts"] == {"created": 400}
    slim = b"\n".join(orjson.dumps({"id": f"v{n:05}", "editorialBoost": 1}) for n in range(400))
    assert (await sent(editor, slim, "application/x-ndjson")).json["counts"] == {"updated": 400}
    id = await queued(
        editor, b"\n".join(b'{"id": "%b", %b}' % (b"x" * 9_000, b'"a":1,"b":2,"c":3') for _ in range(1_200))
    )
    await app.services.tenants.refresh()
    await app.services.imports.run()
    job = (await editor.get(f"imports/{id}")).json
    assert (job["state"], job["counts"]["rejected"]) == ("done", 1_200)
    assert len(job["rejected"]) + job["rejectedNotListed"] == 1_200
    assert max(sizes) < 2_000_000


async def test_a_job_that_cannot_succeed_fails_with_a_reason_and_the_next_one_runs(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await new_editor(app), await new_editor(app)
    write = app.documents.write

    async def refusing(container: Any, partition: str, operations: Any) -> Any:
        if partition == one.tenant_id and container.name == "videos" and len(operations) > 1:
            raise StoreRefused("413")
        return await write(container, partition, operations)

    monkeypatch.setattr(app.documents, "write", refusing)
    ids = [await queued(editor, many(1_001)) for editor in (one, other)]
    await app.services.tenants.refresh()
    for _ in range(FAILURES_ALLOWED):
        await app.services.imports.run()
    failed, done = [(await e.get(f"imports/{id}")).json for e, id in zip((one, other), ids, strict=True)]
    assert (done["state"], done["processed"]) == ("done", 1_001)
    assert failed["state"] == "failed"
    assert failed["failure"].startswith("Its rows could not be written. Quote the error id ")
    assert one.tenant_id not in app.services.tenants.waiting_jobs(("import-job:",))


async def test_job_with_a_missing_file_fails_with_that_reason(app: App) -> None:
    editor = await new_editor(app)
    id = await queued(editor, many(1_001))
    await app.services.blobs.delete(UPLOADS, f"{editor.tenant_id}/{id}.ndjson")
    await app.services.tenants.refresh()
    await app.services.imports.run()
    job = (await editor.get(f"imports/{id}")).json
    assert (job["state"], job["failure"]) == ("failed", "The file is gone. Send it again.")


# ---- the local import


async def test_local_import_accepts_what_the_cms_accepts_and_reports_the_rest(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    editor = await new_editor(app)
    rows = [
        {"video_id": "v1", "tag": "a,b", "video_duration": 41_000, "rating": "PG-13"},
        {"video_id": "a/b", "tag": "a", "video_duration": 41_000},
        {"video_id": 7, "tag": None, "video_duration": 9_500.0, "author_id": 12},
        {"video_id": "v4", "tag": "a", "video_duration": "long"},
        {"video_id": "v5", "tag": "a"},
    ]
    file = tmp_path / "videos.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + b"\n".join(map(orjson.dumps, rows)) + b'\n{"video_id": "\\ud83d"}\n')
    read = [importer.to_video(each, importer.DEFAULT_COLUMNS, "PG") for each in importer.read_rows(file)]
    assert await importer.import_videos(app.services, editor.tenant_id, read) == 2
    printed = capsys.readouterr().out
    assert "row 6 (no id) refused: durationSeconds must be a number. id must be text." in printed
    assert "row 2 (no id) refused: id must be" in printed
    assert "row 4 (v4) refused: durationSeconds must be a number." in printed
    assert "row 5 (v5) refused: durationSeconds must be a number." in printed
    video = (await editor.get("videos/v1")).json
    assert (video["maturityRating"], video["durationSeconds"], video["state"]) == ("PG13", 41, "live")
    assert (await editor.get("videos/7")).json["durationSeconds"] == 9.5
    assert (await editor.post("videos/v1/takedown")).json["state"] == "taken_down"
    await importer.import_videos(app.services, editor.tenant_id, read)
    assert (await editor.get("videos/v1")).json["state"] == "taken_down"


async def test_rejected_events_of_concurrent_batches_are_all_counted(
    app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    batches = [importer.UserBatch("0" * 64, b"{}", 6) for _ in range(2)]

    async def refused(*_: Any) -> int:
        await asyncio.sleep(0.01)
        return 1

    monkeypatch.setattr(importer, "_send", refused)
    await importer.replay(app.url, app.services, "tenant", "key", batches)
    printed = capsys.readouterr().out
    assert "10 events accepted" in printed
    assert "2 rejected" in printed
