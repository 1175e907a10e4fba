"""Session tokens, cached per partition."""

from __future__ import annotations

from shared.adapters.documents.port import TENANTS, VIDEOS
from shared.adapters.documents.session_tokens import SessionTokens


def kept(*tokens: str | None) -> str | None:
    """Return the cached token after these arrive in this order."""
    sessions = SessionTokens()
    for token in tokens:
        sessions.keep(TENANTS, "t", {"x-ms-session-token": token} if token else {})
    return sessions.get(TENANTS, "t")


def test_newest_token_is_kept_in_any_order_of_responses():
    assert kept("0:-1#7", "0:-1#12", "0:-1#9") == "0:-1#12"
    assert kept("0:1#7#1=3", "0:1#12#1=2", "0:1#9#1=4") == "0:1#12#1=2"


def test_token_of_another_range_or_version_replaces_the_kept_one():
    assert kept("0:-1#12", "3:-1#1") == "3:-1#1"
    assert kept("0:1#12", "0:2#1") == "0:2#1"


def test_response_without_a_token_changes_nothing():
    assert kept("0:-1#7", None) == "0:-1#7"
    assert kept(None) is None


def test_session_tokens_are_kept_per_partition_and_the_oldest_is_evicted_first():
    sessions = SessionTokens(capacity=2)
    sessions.keep(TENANTS, "a", {"x-ms-session-token": "0:-1#1"})
    sessions.keep(VIDEOS, "a", {"x-ms-session-token": "0:-1#2"})
    sessions.keep(TENANTS, "a", {"x-ms-session-token": "0:-1#3"})
    sessions.keep(TENANTS, "b", {"x-ms-session-token": "0:-1#4"})
    assert sessions.get(TENANTS, "a") == "0:-1#3"
    assert sessions.get(VIDEOS, "a") is None
    assert sessions.get(TENANTS, "b") == "0:-1#4"
