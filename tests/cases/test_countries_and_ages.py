"""Age bands and countries fail closed: the strictest overlapping band applies; restricted videos need a country."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.filters import maturity_limit
from shared.domain.age_bands import EVERY_AGE, LAST_YEAR, AgeBand, read_age_band
from shared.domain.records import RATINGS, Tenant
from tests.cms.editor import new_editor
from tests.e2e.conftest import _no_secret_is_ever_logged, app
from tests.served_app import App, make_video

__all__ = ["_no_secret_is_ever_logged", "app"]
pytestmark = pytest.mark.asyncio(loop_scope="module")
ALL = {"G", "PG", "PG13"}
VIDEOS = [make_video(rating, rating=rating) for rating in RATINGS]


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("ageBand=0-12", {"G"}),
        ("ageBand=10-12", {"G"}),
        ("ageBand=0-13", {"G"}),
        ("ageBand=12", {"G"}),
        ("ageBand=12-99", {"G"}),
        ("ageBand=0+", {"G"}),
        ("ageband=0-12", {"G"}),
        ("AGE_BAND=0-12", {"G"}),
        ("age-band=0-12", {"G"}),
        ("ageBand=13-17", {"G", "PG"}),
        ("ageBand=14-18", {"G", "PG"}),
        ("ageBand=18-24", ALL),
        ("ageBand=65+", ALL),
        ("", ALL),
    ],
)
async def test_strictest_of_all_overlapping_age_bands_applies(app: App, query: str, seen: set[str]) -> None:
    client = await app.tenant(VIDEOS, maturity_policy="PG13", age_band_policies={"0-12": "G", "13-17": "PG"})
    assert set((await client.get(f"/v1/feed?{query}")).ids) == seen


bands = st.tuples(st.integers(0, 30), st.integers(0, 30) | st.just(LAST_YEAR)).map(lambda b: AgeBand(min(b), max(b)))


@given(st.sampled_from(sorted(RATINGS)), st.dictionaries(bands, st.sampled_from(sorted(RATINGS)), max_size=5), bands)
async def test_age_band_shows_nothing_hidden_from_an_age_in_it(
    policy: str, policies: dict[AgeBand, str], asked: AgeBand
) -> None:
    tenant = Tenant("t", policy, {str(band): rating for band, rating in policies.items()})
    ages = range(asked.low, min(asked.high, 40) + 1)
    for age in ages:
        limits = [RATINGS[rating] for band, rating in policies.items() if band.low <= age <= band.high]
        assert maturity_limit(tenant, AgeBand(age, age)) == min([RATINGS[policy], *limits])
    assert maturity_limit(tenant, asked) == min(maturity_limit(tenant, AgeBand(age, age)) for age in ages)
    assert maturity_limit(tenant, EVERY_AGE) == min([RATINGS[policy], *map(RATINGS.__getitem__, policies.values())])


@given(bands)
async def test_age_band_reads_back_as_written(band: AgeBand) -> None:
    assert read_age_band(str(band)) == band


async def test_rule_for_children_applies_to_every_band_with_children_in_it(app: App) -> None:
    editor = await new_editor(app, [make_video("kids", "toons"), make_video("poker", "gambling")])
    rule = {"id": "no-gambling", "name": "No gambling", "action": "exclude", "match": {"categories": ["gambling"]},
            "audience": {"ageBands": ["0-12"]}}  # fmt: skip
    assert (await editor.post("rules", rule)).status == 201
    await editor.seen()
    for band in ("0-12", "10-11", "12-20", "5", "not a band"):
        assert (await editor.client.feed(ageBand=band)).ids == ["kids"], band
    assert len((await editor.client.feed(ageBand="13-17")).ids) == 2


async def test_policy_that_widens_what_some_ages_see_requires_confirmation(app: App) -> None:
    editor = await new_editor(app, VIDEOS)
    assert (await editor.change("PATCH", "configuration", {"ageBandPolicies": {"0-12": "G"}})).status == 200
    asked = await editor.change("PATCH", "configuration", {"ageBandPolicies": {"0-12": None, "0-5": "G", "7-12": "G"}})
    assert asked.status == 422
    assert asked.json["errors"][0]["code"] == "confirmation_required"


# ---- countries


@pytest.mark.parametrize("query", ["", "country=", "country=null", "country=XX", "country=Germany", "country=FR"])
async def test_country_restricted_video_requires_a_known_country(app: App, query: str) -> None:
    client = await app.tenant([make_video("everywhere"), make_video("for_germany", countries=("DE",))])
    assert (await client.get(f"/v1/feed?{query}")).ids == ["everywhere"]
    assert set((await client.feed(country="DE")).ids) == {"everywhere", "for_germany"}


async def test_pin_brings_no_restricted_video_to_an_unknown_country(app: App) -> None:
    editor = await new_editor(app, [make_video("everywhere"), make_video("for_germany", countries=("DE",))])
    pin = {"id": "top", "name": "Top", "action": "pin", "positions": [1], "match": {"videoIds": ["for_germany"]}}
    assert (await editor.post("rules", pin)).status == 201
    await editor.seen()
    assert (await editor.client.feed()).ids == ["everywhere"]
    assert (await editor.client.feed(country="de")).ids == ["for_germany", "everywhere"]


async def test_invalid_stored_country_keeps_its_video_restricted(app: App) -> None:
    client = await app.tenant([make_video("everywhere"), make_video("for_xx", countries=("XX",))])
    for country in ("XX", "DE", ""):
        assert (await client.feed(country=country)).ids == ["everywhere"]
