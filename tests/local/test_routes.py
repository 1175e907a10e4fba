"""Route templates, methods and precedence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.routes import Found, NotFound, RouteError, RouteTable


def table(*templates: str, prefix: str = "", methods: tuple[str, ...] = ("GET",)) -> RouteTable[str]:
    routes: RouteTable[str] = RouteTable(prefix)
    for template in templates:
        routes.add(template, methods, template)
    return routes


def target(routes: RouteTable[str], path: str, method: str = "GET") -> str | None:
    found = routes.find(method, path)
    return found.target if isinstance(found, Found) else None


def parameters(routes: RouteTable[str], path: str) -> dict[str, str] | None:
    found = routes.find("GET", path)
    return dict(found.parameters) if isinstance(found, Found) else None


@pytest.mark.parametrize("path", ["/v1/feed", "/V1/Feed", "/v1/feed/"])
def test_case_and_a_trailing_slash_do_not_matter(path: str) -> None:
    assert target(table("v1/feed"), path) == "v1/feed"


@pytest.mark.parametrize("path", ["/", "", "/v1", "/v1/feeds", "//v1/feed", "/v1//feed", "/v1/feed//", "v1/feed"])
def test_other_paths_are_not_found(path: str) -> None:
    assert target(table("v1/feed"), path) is None


def test_the_prefix_of_host_json_comes_first() -> None:
    routes = table("feed", "videos/{id}", prefix="api")
    assert (target(routes, "/api/feed"), target(routes, "/feed")) == ("feed", None)
    assert parameters(routes, "/api/videos/7") == {"id": "7"}


def test_an_empty_template_answers_at_the_root() -> None:
    assert target(table(""), "/") == ""


def test_parameters_keep_their_case() -> None:
    assert parameters(table("videos/{id}/tags/{tag}"), "/Videos/Vid_A/TAGS/Fit") == {"id": "Vid_A", "tag": "Fit"}


@given(st.text(min_size=1).filter(lambda text: "/" not in text))
def test_any_text_without_a_slash_is_one_parameter(text: str) -> None:
    assert parameters(table("videos/{id}"), f"/videos/{text}") == {"id": text}


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("n/{id:int}", "/n/42", {"id": "42"}),
        ("n/{id:int}", "/n/-7", {"id": "-7"}),
        ("n/{id:int}", "/n/4x", None),
        ("n/{id:int}", "/n/٣", None),
        ("n/{id:guid}", "/n/3f2504e0-4f89-11d3-9a0c-0305e82c3301", {"id": "3f2504e0-4f89-11d3-9a0c-0305e82c3301"}),
        ("n/{id:guid}", "/n/3f2504e0", None),
        ("n/{id:bool}", "/n/True", {"id": "True"}),
        ("n/{id:alpha}", "/n/ab1", None),
        ("n/{id:min(3)}", "/n/2", None),
        ("n/{id:max(3)}", "/n/3", {"id": "3"}),
        ("n/{id:int:range(1,9)}", "/n/10", None),
        ("n/{id:length(2,3)}", "/n/abcd", None),
        ("n/{id:minlength(2)}", "/n/ab", {"id": "ab"}),
        ("n/{id?}", "/n", {}),
        ("n/{id?}", "/n/5", {"id": "5"}),
        ("n/{id:int?}", "/n/x", None),
        ("n/{id=all}", "/n", {"id": "all"}),
        ("n/{id=all}", "/n/one", {"id": "one"}),
        ("f/{*rest}", "/f/a/b.txt", {"rest": "a/b.txt"}),
        ("f/{*rest}", "/f", {}),
        ("f/{name}.{kind}", "/f/a.b.json", {"name": "a.b", "kind": "json"}),
        ("f/v{version:int}/x", "/f/v2/x", {"version": "2"}),
        ("{tenant}/feed", "/t1/feed", {"tenant": "t1"}),
    ],
)
def test_parameters(template: str, path: str, expected: dict[str, str] | None) -> None:
    assert parameters(table(template), path) == expected


def test_the_most_specific_route_wins_in_whatever_order_they_were_added() -> None:
    templates = ["{*all}", "v/{id}", "v/{id:int}", "v/new", "v/{id}/x", "{room}/new", "v/{*rest}"]
    expected = {
        "/v/new": "v/new",
        "/v/5": "v/{id:int}",
        "/v/abc": "v/{id}",
        "/v/abc/x": "v/{id}/x",
        "/v/a/b/c": "v/{*rest}",
        "/w/new": "{room}/new",
        "/q": "{*all}",
    }
    for order in (templates, templates[::-1]):
        assert {path: target(table(*order), path) for path in expected} == expected


def test_a_less_specific_route_answers_the_methods_the_specific_one_lacks() -> None:
    routes: RouteTable[str] = RouteTable()
    routes.add("v/search", ["GET"], "search")
    routes.add("v/{id}", ["DELETE"], "remove")
    assert target(routes, "/v/search", "DELETE") == "remove"
    assert routes.find("PUT", "/v/search") == NotFound(("DELETE", "GET", "HEAD"))


def test_head_is_answered_by_get_and_seen_as_get() -> None:
    found = table("v/{id}").find("HEAD", "/v/1")
    assert isinstance(found, Found)
    assert (found.target, found.method, dict(found.parameters)) == ("v/{id}", "GET", {"id": "1"})


def test_a_route_without_methods_answers_all_of_them() -> None:
    routes: RouteTable[str] = RouteTable()
    routes.add("any", None, "any")
    assert [target(routes, "/any", method) for method in ("GET", "DELETE", "OPTIONS")] == ["any"] * 3


@pytest.mark.parametrize(("template", "again"), [("v/x", "V/x"), ("v/{id}", "v/{name}"), ("v/{id:int}", "v/{n:int}")])
def test_two_functions_on_one_route_are_refused(template: str, again: str) -> None:
    routes = table(template)
    routes.add(again, ["POST"], "other method")
    with pytest.raises(RouteError, match="routed to two functions"):
        routes.add(again, ["GET", "PUT"], "again")


@pytest.mark.parametrize("template", ["{*a}/b", "{a?}/b", "x{*a}", "{a", "a}", "{a:nonsense}", "{a}/{a}", "{a:min(x)}"])
def test_a_template_that_cannot_be_served_is_refused(template: str) -> None:
    with pytest.raises(RouteError):
        table(template)


def test_an_absurdly_deep_path_is_not_found() -> None:
    assert target(table("{*all}"), "/a" * 10_000) is None
