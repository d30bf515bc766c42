"""Lost if it fails: a clinic cannot have the name it is known by, or somebody gets a name that passes for the platform."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, Rule
from werkzeug.routing.exceptions import RequestRedirect

from tenancy import slugs


@settings(deadline=None)
@given(st.text(max_size=50))
def test_whatever_is_typed_only_plain_labels_have_the_grammar(text: str) -> None:
    expected = (
        3 <= len(text) <= 40
        and all(letter in "abcdefghijklmnopqrstuvwxyz0123456789-" for letter in text)
        and not text.startswith("-")
        and not text.endswith("-")
        and "--" not in text
    )
    assert slugs.has_grammar(text) == expected


@pytest.mark.parametrize("slug", ["elm-street", "abc", "123", "a" * 40, "news-of-elm", "adminton", "mailboxes-etc"])
def test_a_clinics_own_name_may_be_taken(slug: str) -> None:
    assert slugs.may_be_taken(slug)


@pytest.mark.parametrize(
    "slug", ["admin", "admins", "www", "www2", "ns1", "mx10", "mail", "mails", "status", "statuses", "api", "login", "logins", "portal", "portals", "pay", "invoices", "no-reply", "mail-", "proxies"]
)  # fmt: skip
def test_the_platforms_words_and_their_plurals_may_not(slug: str) -> None:
    assert not slugs.may_be_taken(slug)


@pytest.mark.parametrize(
    ("name", "slug"),
    [("st. mary's clinic", "st-marys-clinic"), ("  elm & oak ", "elm-oak"), ("a" * 39 + " b", "a" * 39), ("x" * 50, "x" * 40)],
)
def test_a_name_makes_an_address_that_may_be_typed(name: str, slug: str) -> None:
    assert slugs.made_from(name) == slug


def test_every_reserved_word_could_be_typed() -> None:
    """A word in the list that nobody could type guards nothing."""
    assert not [word for word in slugs.RESERVED if word != word.lower() or " " in word]


@pytest.mark.parametrize("path", ["/admin/x", "/ELM/x", "/ab/x", "/-elm/x", "/elm--street/x", "/xn--elm/x", "/elm%20street/x"])
def test_a_path_that_names_no_clinic_is_not_found(path: str) -> None:
    """A wrong guess is answered "not found", never with an error page."""
    with pytest.raises((NotFound, RequestRedirect)):
        _routes().match(path)


def test_a_path_that_names_a_clinic_is_found() -> None:
    assert _routes().match("/elm-street/x") == ("x", {"slug": "elm-street"})


def _routes():  # type: ignore[no-untyped-def]
    rules = [Rule("/<portal_slug:slug>/x", endpoint="x")]
    return Map(rules, converters={"portal_slug": slugs.PortalSlug}).bind("localhost")


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("elm-street", "elm-stret", True),
        ("elm-street", "elm-streeet", True),
        ("elm-street", "elm-strent", True),
        ("elm-street", "elm-sterets", False),
        ("elm-street", "elm-steret", True),
        ("elm-street", "lem-street", True),
        ("elm-street", "elm-street", False),
        ("elm-street", "oak-hill", False),
        ("abc", "abcd", True),
        ("abc", "acbd", False),
        ("abc", "abcde", False),
        ("abc", "a", False),
    ],
)
def test_an_address_one_letter_from_another_is_told_apart_from_the_rest(one: str, other: str, alike: bool) -> None:
    """Lost if it fails: nobody warns the operator that families will take one portal for another."""
    assert slugs.look_alike(one, other) is alike
    assert slugs.look_alike(other, one) is alike
