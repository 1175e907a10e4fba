"""The code lines shown for a new tenant's developers work when pasted."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from cms.access.app_lines import app_curl, app_page, base_url_of

README = Path(__file__).parents[2] / "sdk" / "typescript" / "README.md"


def test_onboarding_page_equals_the_one_in_the_sdk_readme() -> None:
    [page] = re.findall(r"```html\n(.*?)```", README.read_text(), re.DOTALL)
    assert app_page("http://127.0.0.1:7071", "tenant_1", "secret-api-key") == page


def test_base_url_is_the_address_that_the_caller_used() -> None:
    assert base_url_of("http://127.0.0.1:7071/v1", {"host": "127.0.0.1:7071"}) == "http://127.0.0.1:7071"
    behind = {"host": "app.azurewebsites.net", "x-original-host": "feed.example"}
    assert base_url_of("https://app.azurewebsites.net/v1", behind) == "https://feed.example"
    odd = {"host": "app.azurewebsites.net", "x-original-host": "a'; rm -rf /"}
    assert base_url_of("https://app.azurewebsites.net/v1", odd) == "https://app.azurewebsites.net"


def test_shell_parses_the_curl_lines_as_two_calls() -> None:
    calls = [shlex.split(line) for line in app_curl("https://feed.example", "news", "vf_x").splitlines()]
    assert [call[1] for call in calls] == [
        "https://feed.example/v1/feed?limit=5",
        "https://feed.example/v1/events/batch",
    ]
    assert all("X-Api-Key: vf_x" in call for call in calls)
