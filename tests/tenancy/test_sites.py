"""Lost if it fails: a request is taken for another clinic's than its address bar says, or a letter leads astray."""

import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tenancy import sites
from tenancy.sites import Admin, Apex, Portal, Unknown
from tests.conftest import _settings

DEV = _settings("postgresql://x", "postgresql://x")
LIVE = replace(DEV, scheme="https", base="portal.example", port=None)


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("portal.example", Apex()),
        ("PORTAL.example", Apex()),
        ("portal.example:443", Apex()),
        ("admin.portal.example", Admin()),
        ("Admin.Portal.Example", Admin()),
        ("elm-street.portal.example", Portal("elm-street")),
        ("ELM-street.portal.example:443", Portal("elm-street")),
        ("elm-street.portal.example:80", Unknown()),
        ("elm-street.portal.example:", Unknown()),
        ("elm-street.portal.example:0443", Portal("elm-street")),
        ("elm-street.portal.example.", Unknown()),
        ("a.elm-street.portal.example", Unknown()),
        ("www.portal.example", Unknown()),
        ("admins.portal.example", Unknown()),
        ("elm_street.portal.example", Unknown()),
        ("xn--elm.portal.example", Unknown()),
        ("elm--street.portal.example", Unknown()),
        ("ab.portal.example", Unknown()),
        ("-elm.portal.example", Unknown()),
        ("elm-street.portal.example@evil.test", Unknown()),
        ("user@elm-street.portal.example", Unknown()),
        ("elm-street.portal.example evil.test", Unknown()),
        ("elm-street.portal.example,evil.test", Unknown()),
        ("elm-street.portal.example/", Unknown()),
        ("elm-street.portal.example.evil.test", Unknown()),
        ("evilportal.example", Unknown()),
        ("evil-portal.example", Unknown()),
        (".portal.example", Unknown()),
        ("127.0.0.1", Unknown()),
        ("[::1]", Unknown()),
        ("", Unknown()),
        (" portal.example", Unknown()),
        ("portal.example\n", Unknown()),
        ("portal.examplé", Unknown()),
        ("\u212aelm.portal.example", Unknown()),  # the Kelvin sign folds to k
        ("elm-street." * 40 + "portal.example", Unknown()),
    ],
)
def test_a_host_names_one_site_or_none(host: str, site: sites.Site) -> None:
    assert sites.site_of(host, LIVE) == site


@pytest.mark.parametrize(("scheme", "own", "other"), [("http", 80, 443), ("http", 80, 81), ("https", 443, 80), ("https", 443, 444)])
def test_the_scheme_s_own_port_may_be_written_and_no_other(scheme: str, own: int, other: int) -> None:
    live = replace(LIVE, scheme=scheme)
    assert sites.site_of(f"portal.example:{own}", live) == Apex()
    assert sites.site_of(f"portal.example:{other}", live) == Unknown()


@hypothesis_settings(deadline=None)
@given(st.text(alphabet=string.printable + "é\xa0\x85ı", max_size=60))
def test_no_host_at_all_breaks_the_reading(host: str) -> None:
    found = sites.site_of(host, LIVE)
    if isinstance(found, Portal):
        assert f"{found.slug}.portal.example" == host.lower().removesuffix(":443").split(":")[0]


@pytest.mark.parametrize(("settings", "authority"), [(LIVE, "portal.example"), (DEV, "localhost:8000")])
def test_an_address_that_we_write_is_read_as_the_site_it_was_written_for(settings: sites.Settings, authority: str) -> None:
    for site in (Apex(), Admin(), Portal("elm-street")):
        assert sites.site_of(sites.host_of(site, settings), settings) == site
    assert sites.portal_url(settings, "elm-street", "/x") == f"{settings.scheme}://elm-street.{authority}/x"
    assert sites.admin_url(settings, "elm-street") == f"{settings.scheme}://admin.{authority}/elm-street/"
    assert sites.front_door_url(settings) == f"{settings.scheme}://{authority}/"


@pytest.mark.parametrize(
    ("path", "without"),
    [
        ("/link/invitation/abc", "/link/invitation"),
        ("/link/invitation/abc/def", "/link/invitation"),
        ("/link/invitation", "/link/invitation"),
        ("/link/", "/link/"),
        ("/linked/abc", "/linked/abc"),
        ("/", "/"),
        ("/patients/1/link/x", "/patients/1/link/x"),
    ],
)
def test_a_redirect_leaves_the_secret_behind(path: str, without: str) -> None:
    assert sites.path_without_secret(path) == without
