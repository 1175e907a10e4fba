"""The Studio's own tests behind the firewall. `make prove-firewall` runs them; `make test` has them without it.

Left out is the test that writes a script into a title, which the firewall rightly refuses.
"""

from __future__ import annotations

import pytest

from tests.e2e.test_studio import (
    chromium,
    open_studio,
    test_a_content_team_moves_a_weight_takes_a_video_down_and_takes_both_back,
    test_a_rule_is_tried_published_and_switched_off_with_the_keyboard_alone,
    test_a_rule_that_cannot_be_saved_says_why_where_it_is_written,
    test_a_wrong_key_is_told_and_an_app_key_does_not_open_the_studio,
    test_nothing_is_wider_than_a_phone,
    test_showing_stronger_ratings_asks_first,
)
from tests.firewall.guarded import Guarded

__all__ = [
    "chromium",
    "open_studio",
    "test_a_content_team_moves_a_weight_takes_a_video_down_and_takes_both_back",
    "test_a_rule_is_tried_published_and_switched_off_with_the_keyboard_alone",
    "test_a_rule_that_cannot_be_saved_says_why_where_it_is_written",
    "test_a_wrong_key_is_told_and_an_app_key_does_not_open_the_studio",
    "test_nothing_is_wider_than_a_phone",
    "test_showing_stronger_ratings_asks_first",
]

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_nothing_of_it_was_refused(app: Guarded) -> None:
    assert app.wall.calls().total() > 100
    assert app.wall.refusals() == 0
