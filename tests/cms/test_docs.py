"""Examples, fields and routes of docs/cms.md match the code."""

from __future__ import annotations

import re
from pathlib import Path

import orjson

import function_app
from cms.configuration.models import ConfigurationForm
from cms.feeds.models import BaseSetForm, NewFeedForm
from cms.forms import Form, check
from cms.preview.models import PreviewForm
from cms.rules.models import MatchForm, NewPlaylistForm, NewRuleForm
from cms.videos.models import NewVideoForm

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "cms.md").read_text(encoding="utf-8")


def test_every_example_is_accepted_as_written() -> None:
    forms: tuple[type[Form], ...] = (NewVideoForm, NewRuleForm, NewFeedForm, PreviewForm)
    examples = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == len(forms)
    for form, example in zip(forms, examples, strict=True):
        assert check(form, orjson.loads(example))[1] == []
    playlist = re.search(r'`(\{"id": "weekend".*?\})`', PAGE)
    assert playlist
    assert check(NewPlaylistForm, orjson.loads(playlist[1]))[1] == []


def test_every_field_of_configuration_rule_feed_and_match_is_explained() -> None:
    for form in (ConfigurationForm, NewRuleForm, NewFeedForm, BaseSetForm, MatchForm):
        for name, field in form.model_fields.items():
            alias = field.alias or name
            assert f"`{alias}`" in PAGE or f'"{alias}"' in PAGE, alias


def test_every_cms_route_is_documented() -> None:
    for declared in function_app.api.endpoints:
        route = declared.path
        if route.startswith("v1/cms/"):
            last = route.rsplit("/", 1)[-1]
            assert f"/{last}" in PAGE or "{" in last, route
