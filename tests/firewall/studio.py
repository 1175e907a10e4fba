"""Runs the Studio's own tests behind the firewall: part of `make prove-firewall`, not of `make test`.

The test that writes a script into a title is left out, because the firewall rightly refuses it.
"""

from __future__ import annotations

import pytest

from tests.e2e.test_studio import (
    chromium,
    open_studio,
    test_editor_changes_a_weight_takes_a_video_down_and_reverts_both,
    test_nothing_is_wider_than_a_phone,
    test_rule_is_previewed_published_and_disabled_by_keyboard_alone,
    test_rule_that_cannot_be_saved_shows_the_reason_at_its_field,
    test_showing_stronger_ratings_asks_for_confirmation,
    test_wrong_key_is_reported_and_an_app_key_does_not_open_the_studio,
)
from tests.firewall.guarded import Guarded

__all__ = [
    "chromium",
    "open_studio",
    "test_editor_changes_a_weight_takes_a_video_down_and_reverts_both",
    "test_nothing_is_wider_than_a_phone",
    "test_rule_is_previewed_published_and_disabled_by_keyboard_alone",
    "test_rule_that_cannot_be_saved_shows_the_reason_at_its_field",
    "test_showing_stronger_ratings_asks_for_confirmation",
    "test_wrong_key_is_reported_and_an_app_key_does_not_open_the_studio",
]

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_studio_requests_were_all_allowed(app: Guarded) -> None:
    assert app.wall.calls().total() > 100
    assert app.wall.refusals() == 0
