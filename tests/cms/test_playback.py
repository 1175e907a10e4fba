"""Playback reports show content teams which plays fail."""

from __future__ import annotations

import pytest

from tests.cms.editor import Editor, new_editor
from tests.served_app import App, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def play(editor: Editor, *kinds: str, page: int = 5) -> list[str]:
    """A new viewer gets a page and reports each kind for each of its videos, with a failure for the first."""
    viewer = editor.client.as_user()
    served = (await viewer.feed(limit=page)).json
    ids = sorted(item["videoId"] for item in served["items"])
    told = [(kind, id) for id in ids for kind in kinds] + [("playback_error", ids[0])]
    now = editor.app.now_ms(30)
    await viewer.post(
        [
            {"type": kind, "videoId": id, "timestamp": now + n, "feedRequestId": served["feedRequestId"]}
            for n, (kind, id) in enumerate(told)
        ]
    )
    await editor.app.folded()
    await editor.app.rolled_up()
    return ids


async def test_videos_that_fail_most_come_first_with_their_sums(app: App) -> None:
    editor = await new_editor(app, make_videos(5))
    ids = await play(editor, "start", "stall")
    await play(editor, "start")
    answer = (await editor.get("playback", days=28, limit=3)).json
    assert answer["days"] == 28
    assert answer["total"] == {"starts": 10, "stalls": 5, "errors": 2, "views": 0}
    assert [(each["videoId"], each["errors"], each["stalls"]) for each in answer["videos"]] == [
        (ids[0], 2, 1),
        (ids[1], 0, 1),
        (ids[2], 0, 1),
    ]
    video = (await editor.get(f"videos/{ids[0]}/playback")).json
    assert video["videoId"] == ids[0]
    assert video["last7d"] == video["last28d"] == {"starts": 2, "stalls": 1, "errors": 2, "views": 0}


async def test_playback_errors_leave_the_week_and_stay_in_four_weeks(app: App) -> None:
    editor = await new_editor(app, make_videos(5))
    ids = await play(editor, "start")
    app.clock.advance(8 * 86_400)
    await editor.seen()
    video = (await editor.get(f"videos/{ids[0]}/playback")).json
    assert (video["last7d"]["errors"], video["last28d"]["errors"]) == (0, 1)
    assert (await editor.get("playback")).json["videos"] == []


async def test_playback_of_another_tenants_video_is_not_found(app: App) -> None:
    editor, other = await new_editor(app, make_videos(5)), await new_editor(app)
    ids = await play(editor, "start")
    assert (await other.get(f"videos/{ids[0]}/playback")).code == "not_found"
    assert (await other.get("playback")).json["total"]["errors"] == 0


async def test_unsupported_number_of_days_is_refused(app: App) -> None:
    editor = await new_editor(app)
    for days in ("8", "0", "x"):
        assert (await editor.get("playback", days=days)).code == "invalid_days"
    assert (await editor.get("playback", limit=0)).code == "invalid_limit"
