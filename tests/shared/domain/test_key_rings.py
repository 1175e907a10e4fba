"""The app starts with the key ring after any number of rotations, and earlier keys still verify."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.operate import rotated
from shared.adapters.embedded_secrets import rotate_signing_key, with_embedded_secrets
from shared.domain.keys import RING_SIZE, KeyRing, ring_with
from shared.settings import BadSetting, Settings

KEY = base64.b64encode(b"k" * 32).decode()
NAMES = st.lists(st.from_regex(r"k2026[0-9]{4}t[0-9]{6}", fullmatch=True), min_size=1, max_size=20)


@given(names=NAMES, clashing=st.booleans())
@pytest.mark.parametrize("rotate", [ring_with, rotated])
def test_key_ring_always_has_a_tag_for_each_key(rotate: object, names: list[str], clashing: bool) -> None:
    ring = f"local:{KEY}"
    for name in names:
        before = ring.split(",")
        ring = rotate(ring, "local" if clashing else name, KEY)  # type: ignore[operator]
        assert ring.split(",")[1:] == before[: RING_SIZE - 1]
        assert len(KeyRing(ring).for_purpose("cursor").by_tag) == len(ring.split(","))


def test_rotated_key_of_one_machine_signs_and_the_previous_is_kept(tmp_path: object) -> None:
    settings = Settings(data_folder=str(tmp_path))
    first = with_embedded_secrets(settings)
    rotate_signing_key(settings)
    second = with_embedded_secrets(settings)
    assert second.identity_secret == first.identity_secret
    assert second.signing_keys.split(",")[1:] == [first.signing_keys]
    with pytest.raises(BadSetting, match="come from SIGNING_KEYS"):
        rotate_signing_key(first)
