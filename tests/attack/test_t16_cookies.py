"""T16: a cookie that a sibling's page planted is never taken for a session, and no session is carried through a sign-in.

Lost if it fails: a clinic of the platform, whose pages may set cookies for all of the base domain, signs a family in as
somebody else, or holds the very session that the family then signs in with.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from flask import Flask
from itsdangerous import URLSafeTimedSerializer
from werkzeug.http import parse_cookie
from werkzeug.test import TestResponse

from clinic import demo, sessions
from tenancy import cookies
from tests.conftest import Cluster, one_more_app
from tests.outer_door import BASE, Answer, Door
from tests.visitor import Visitor

NAME = "__Host-portico"
HOST = f"{demo.ELM}.{BASE}"
ELM = f"https://{HOST}"
MARIA, OMAR = "maria@family.example", "omar@family.example"
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Names that browsers or parsers have taken for the plain one, as the bytes that a browser sends.
ODD_NAMES = [
    *(f"\u00a0{NAME}", f"\u0085{NAME}", f"\u2000{NAME}", f"\u3000{NAME}", f"{NAME}\u00a0", f"\x0b{NAME}", f"\x1f{NAME}"),
    *(f'"{NAME}"', f"'{NAME}'", f"={NAME}", f"{NAME} ", f"{NAME}\t", NAME.upper(), NAME.lower(), "portico", "__Host-"),
    *(f"$Version=1; ${NAME}", f"a,{NAME}", "%5F%5FHost-portico", f"{NAME}-", f"x{NAME}", f"__Secure-{NAME}"),
]


@dataclass
class Portal:
    """Elm Street's portal over TLS, and two people's sessions there."""

    app: Flask
    marias: str
    omars: str

    def asked(self, cookie: str) -> TestResponse:
        """The start page, asked for by a browser that sends this Cookie header."""
        sent = cookie.encode().decode("latin-1")
        return self.app.test_client(use_cookies=False).get("/", base_url=ELM, headers={"Cookie": sent})


@pytest.fixture(scope="module")
def _app_over_tls(cluster: Cluster) -> Iterator[Flask]:
    settings = replace(cluster.copy(), scheme="https", base=BASE, port=None)
    with one_more_app(settings) as app:
        yield app
    cluster.drop(settings)


@pytest.fixture
def portal(_app_over_tls: Flask) -> Portal:
    signed_in = (Visitor(_app_over_tls, ELM).sign_in(who) for who in (MARIA, OMAR))
    return Portal(_app_over_tls, *(cookie_of(visitor) for visitor in signed_in))


def cookie_of(visitor: Visitor) -> str:
    (cookie,) = (each for each in visitor.client._cookies.values() if each.key == NAME)
    return str(cookie.value)


def is_nobodys(answer: TestResponse, what: str) -> None:
    assert answer.status_code == 303 and "/sign-in" in answer.headers["Location"], what


def is_marias(answer: TestResponse, what: str) -> None:
    assert answer.status_code == 200 and "Leo Lopez" in answer.text and "Zoe" not in answer.text, what


def no_odd_name_is_ours(portal: Portal) -> None:
    """Alone it is nobody's; before or after the real one it changes nothing."""
    for name in ODD_NAMES:
        planted = f"{name}={portal.omars}"
        is_nobodys(portal.asked(planted), planted)
        for cookie in (f"{planted}; {NAME}={portal.marias}", f"{NAME}={portal.marias}; {planted}"):
            is_marias(portal.asked(cookie), cookie)


def of_two_none_is_ours(portal: Portal) -> None:
    """Nothing tells which of them a sibling planted, so neither counts, and the answer clears the name."""
    for first, second in ((portal.marias, portal.omars), (portal.omars, portal.marias), (portal.marias, ""), ("x", "y")):
        answer = portal.asked(f"{NAME}={first}; a=b; {NAME}={second}")
        is_nobodys(answer, first)
        cleared = answer.headers.getlist("Set-Cookie")
        assert any(each.startswith(f"{NAME}=;") and "Max-Age=0" in each and "Path=/" in each for each in cleared)


def test_the_session_is_taken_from_exactly_one_name(portal: Portal) -> None:
    is_marias(portal.asked(f"{NAME}={portal.marias}"), "alone")
    is_marias(portal.asked(f"a=b;{NAME}={portal.marias};c"), "among others")
    no_odd_name_is_ours(portal)


def test_of_two_cookies_of_the_name_none_counts_and_both_go(portal: Portal) -> None:
    of_two_none_is_ours(portal)


def test_the_cookie_is_the_hosts_own(portal: Portal) -> None:
    answer = portal.app.test_client().get("/sign-in", base_url=ELM)
    (cookie,) = answer.headers.getlist("Set-Cookie")
    kept = {part.partition("=")[0] for part in cookie.split("; ")[1:]}
    assert cookie.startswith(f"{NAME}=") and kept == {"Secure", "HttpOnly", "Path", "SameSite"}
    assert "Path=/;" in cookie and "SameSite=Lax" in cookie


def steps_change_the_session(app: Flask) -> None:
    """Signing in over somebody else's session, over one's own, and choosing a new password: each time another id."""
    attacker = Visitor(app, ELM).sign_in(OMAR)
    victim = Visitor(app, ELM)
    held = [cookie_of(attacker)]
    victim.client.set_cookie(NAME, held[0], domain=HOST, secure=True)
    new = "six calm yellow boats"
    for step in ("over the attacker's", "over her own"):
        victim.sign_in(MARIA)
        held.append(cookie_of(victim))
        assert token_in(held[-1]) not in map(token_in, held[:-1]), step
        assert "Leo Lopez" not in attacker.read("/"), step
    victim.get("/profile/password")
    for present, password in ((demo.PASSWORD, new), (new, demo.PASSWORD)):
        before = cookie_of(victim)
        answer = victim.post("/profile/password", {"present": present, "password": password})
        assert answer.status_code == 303
        victim.get("/profile/password")
        is_nobodys(Portal(app, before, "").asked(f"{NAME}={before}"), "the session of before the new password")


def token_in(value: str) -> str:
    """The session's token inside a cookie; its signature is of no interest here."""
    return str(URLSafeTimedSerializer("").load_payload(value.rsplit(".", 2)[0].encode())["_user_id"])


def test_every_step_up_changes_the_session(portal: Portal) -> None:
    steps_change_the_session(portal.app)


def _of_werkzeug(name: str, header: str) -> list[str]:
    value = parse_cookie(header).get(name)
    return [] if value is None else [value]


def _trimmed(name: str, header: str) -> list[str]:
    pairs = (piece.partition("=") for piece in header.encode("latin-1").decode().split(";"))
    return [value.strip() for key, _, value in pairs if key.strip().strip('"') == name][:1]


@pytest.mark.parametrize("reader", [_of_werkzeug, _trimmed])
def test_planted_a_lenient_reader(portal: Portal, monkeypatch: pytest.MonkeyPatch, reader: Callable[..., list[str]]) -> None:
    monkeypatch.setattr(cookies, "values_of", reader)
    with pytest.raises(AssertionError):
        no_odd_name_is_ours(portal)
        of_two_none_is_ours(portal)


def test_planted_a_session_outlives_the_password(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "end_all_of", lambda holder, reason: None)
    with pytest.raises(AssertionError):
        steps_change_the_session(portal.app)


# At the outer door, where the bytes that a browser sends are seen first.


@pytest.fixture
def at_the_door(door: Door) -> Portal:
    signed_in = (Visitor(door.app, ELM).sign_in(who) for who in (MARIA, OMAR))
    return Portal(door.app, *(cookie_of(visitor) for visitor in signed_in))


def sent(door: Door, cookie: str) -> Answer:
    return door.get(HOST, "/", f"Cookie: {cookie.encode().decode('latin-1')}\n")


def odd_names_are_cleared_away(door: Door, portal: Portal) -> None:
    """nginx refuses what is no token before the application sees it, and tells the browser to drop its cookies."""
    for name in ODD_NAMES:
        is_token = all(TOKEN.fullmatch(each.partition("=")[0]) for each in name.split("; "))
        for cookie in (f"{name}={portal.omars}; {NAME}={portal.marias}", f"{NAME}={portal.marias}; {name}={portal.omars}"):
            with door.watched() as seen:
                answer = sent(door, cookie)
            if is_token or name.endswith("\t"):  # a blank at its end is no part of a header
                assert "Zoe" not in answer.text, cookie
            else:
                assert answer.status in (400, 431) and not seen, (cookie, answer.status)
                assert answer.status == 400 or answer.header("Clear-Site-Data") == '"cookies"', cookie


@pytest.mark.slow
def test_names_that_are_no_tokens_do_not_reach_the_application(door: Door, at_the_door: Portal) -> None:
    odd_names_are_cleared_away(door, at_the_door)
    for other in ("a=b", "a=b; c=d", "a=", 'a="b"', "a=b;c=d", "_ga=GA1.1.2; __Secure-x=y", "a=\u00e9"):
        assert "Leo Lopez" in sent(door, f"{other}; {NAME}={at_the_door.marias}").text, other


@pytest.mark.slow
def test_of_two_cookies_none_counts_at_the_door_either(door: Door, at_the_door: Portal) -> None:
    of_two_none_is_ours(at_the_door)
    two_headers = f"Cookie: {NAME}={at_the_door.omars}\nCookie: {NAME}={at_the_door.marias}\n"
    assert door.get(HOST, "/", two_headers).status == 303


@pytest.mark.slow
@pytest.mark.parametrize("cookie", ["; ".join(f"c{n}={'x' * 300}" for n in range(200)), f"a={'x' * 64_000}"], ids=["many", "one"])
def test_too_much_is_refused_with_a_way_out(door: Door, at_the_door: Portal, cookie: str) -> None:
    with door.watched() as seen:
        answer = sent(door, f"{cookie}; {NAME}={at_the_door.marias}")
    assert answer.status == 431 and answer.header("Clear-Site-Data") == '"cookies"' and not seen
    assert "Open the page again" in answer.text
    assert not sent(door, f"{NAME}={at_the_door.marias}").header("Clear-Site-Data")  # never otherwise


@pytest.mark.slow
def test_as_much_as_is_let_in_is_read(door: Door, at_the_door: Portal) -> None:
    """gunicorn's own limit is beyond nginx's: what passes one passes the other."""
    answer = sent(door, f"a={'x' * 7_500}; {NAME}={at_the_door.marias}")
    assert answer.status in (200, 431) and "Bad Request" not in answer.text
    assert "Leo Lopez" in sent(door, f"a={'x' * 7_000}; {NAME}={at_the_door.marias}").text


@pytest.mark.slow
def test_planted_every_name_is_let_in(door: Door, at_the_door: Portal) -> None:
    with door.rebuilt(("if ($are_cookies_ours = 0) { return 494; }", "")) as weak, pytest.raises(AssertionError):
        odd_names_are_cleared_away(weak, at_the_door)


@pytest.mark.slow
def test_planted_no_way_out(door: Door, at_the_door: Portal) -> None:
    with door.rebuilt(("add_header Clear-Site-Data $to_clear always;", "")) as weak, pytest.raises(AssertionError):
        test_too_much_is_refused_with_a_way_out(weak, at_the_door, f"a={'x' * 64_000}")
