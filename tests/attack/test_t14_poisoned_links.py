"""T14: every address in every letter is the clinic's own, whatever the request that asked for the letter pretended.

Lost if it fails: a stranger asks for Maria's new password with a Host header of their own, the clinic itself mails her
a link to the stranger's site, and she types her password there.
"""

import re
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask, request

from clinic import demo, front_door, portal_settings, reset_requests
from mail import delivery, letters, rendering
from mail.letters import LinkLetter
from mail.rendering import Page
from tenancy import clinics, clock, link_tokens
from tenancy.database import transaction
from tests.conftest import BASE, PORT
from tests.inside import inside, mail_resets, waiting_jobs, written
from tests.visitor import Visitor

ELM_URLS = (f"http://{demo.ELM}.{BASE}:{PORT}/", f"http://admin.{BASE}:{PORT}/{demo.ELM}/")
OAK_URLS = (f"http://{demo.OAK}.{BASE}:{PORT}/", f"http://admin.{BASE}:{PORT}/{demo.OAK}/")
ROOT = Path(__file__).parents[2]
_URL = re.compile(r"""(?:https?:)?//[^\s"'<>]+|href=["']?[^\s"'>]+""")

EVIL = "evil.test"
HEADERS = [
    *({"Host": host} for host in (
        EVIL, f"{EVIL}:{PORT}", f"{BASE}.{EVIL}", f"{{own}}.{EVIL}", f"{{own}}:{PORT}@{EVIL}", f"{EVIL}@{{own}}:{PORT}",
        "{own}:1", "{own}:notaport", "{own}:", "{own}.", "{own}.:8000", "{own} ", "{own}\t", "a.{own}:8000", "x_y.localhost:8000",
        "xn--elm-street.localhost:8000", "--.localhost:8000", "127.0.0.1:8000", "[::1]:8000", "", "localhost", f"{'a' * 300}.localhost:8000",
        "{own}/evil", "{own}?x", "{own}#x", f"{{own}}, {EVIL}", "unknown.localhost:8000", f"{{own}}:{PORT}\\{EVIL}",
    )),
    *({name: EVIL} for name in (
        "X-Forwarded-Host", "X-Host", "X-Forwarded-Server", "X-HTTP-Host-Override", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix",
    )),
    {"Forwarded": f"host={EVIL};proto=gopher"},
    {"X-Forwarded-Proto": "gopher"},
    {"X-Forwarded-Port": "666"},
    {"Host": "{upper}:8000"},
    {"Host": "{own}"},
    {"Host": "{own}:8000"},
]  # fmt: skip
_turn = count(1)
# Who asks where, for what: (first label of the host, path, e-mail)
ASKED = {
    "reset": (f"{demo.ELM}.", "/new-link", "maria@family.example"),
    "invitation": (f"{demo.ELM}.", "/new-link", "grace@family.example"),
    "staff reset": ("admin.", f"/{demo.ELM}/forgot-password", "ana@elm.example"),
    "find my portal": ("", "/", "omar@family.example"),
}


def ask(app: Flask, what: str, headers: dict[str, str]) -> int:
    """Send the form as a program would, with these headers; returns the status."""
    label, path, email = ASKED[what]
    own = f"{label}{BASE}"
    sent = {name: value.format(own=own, upper=own.upper()) for name, value in headers.items()}
    stranger = Visitor(app, f"http://{own}:{PORT}")
    # For a Host of their own the client would keep the cookies back; the form token is not what is tried here.
    overridden = {"HTTP_HOST": sent.pop("Host")} if "Host" in sent else {}
    # Each some minutes after the one before: an invitation that was mailed just now is not mailed again.
    with clock.moved(timedelta(minutes=6) * next(_turn)):
        status = stranger.post(path, {"email": email}, headers=sent, environ_overrides=overridden).status_code
        mail_resets(app)
        return status


def urls_in(page: Page) -> list[str]:
    return [found.removeprefix("href=").strip("\"'") for found in _URL.findall(page.subject + page.text + page.html)]


WITHOUT_LINK = (
    *("A second factor was set up for your sign-in", "Your second factor was removed"),
    *("You have new recovery codes", "A recovery code was used"),
)


def assert_all_under(pages: list[Page], prefixes: tuple[str, ...]) -> None:
    for page in pages:
        urls = urls_in(page)
        assert urls or page.subject in WITHOUT_LINK, page.subject
        assert not [url for url in urls if not url.startswith(prefixes)], urls


def found_portals(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[Page]:
    """The letters that the waiting front-door jobs send."""
    sent: list[Page] = []
    monkeypatch.setattr(delivery, "connection", nullcontext)
    monkeypatch.setattr(delivery, "send", lambda server, page, envelope: sent.append(page))
    for arguments in waiting_jobs(app, front_door.FIND):
        with app.app_context():
            front_door.find(**arguments)
    return sent


def check_every_letter_is_clean(app: Flask, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]) -> set[str]:
    """Ask for everything with these headers; returns what led to a letter."""
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)
    came = set()
    for what in ASKED:
        before = len(written(app, demo.ELM)) + len(found_portals(app, monkeypatch))
        assert ask(app, what, headers) < 500
        pages, portals = written(app, demo.ELM), found_portals(app, monkeypatch)
        if len(pages) + len(portals) > before:
            came.add(what)
        assert_all_under(pages + portals, ELM_URLS)
    return came


@pytest.mark.parametrize("headers", HEADERS, ids=str)
def test_no_header_gets_a_foreign_address_into_a_letter(
    app: Flask, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    check_every_letter_is_clean(app, monkeypatch, headers)


def test_an_honest_request_leads_to_every_letter(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the tests above are not about letters that never came."""
    assert check_every_letter_is_clean(app, monkeypatch, {}) == set(ASKED)
    for spelled in ({"X-Forwarded-Host": EVIL}, {"Host": "{upper}:8000"}, {"Host": "{own}"}):
        assert check_every_letter_is_clean(app, monkeypatch, spelled) == set(ASKED), spelled


def test_a_host_that_is_not_ours_leads_to_no_letter(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_every_letter_is_clean(app, monkeypatch, {"Host": EVIL}) == set()


@pytest.mark.parametrize("headers", [{"X-Forwarded-Host": EVIL}, {"Host": "{upper}:8000"}], ids=str)
def test_planted_a_letter_that_believes_the_request(
    app: Flask, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    heard: list[str] = []
    ask_for_reset = reset_requests.ask

    def listening(email: str, *, of_staff: bool) -> None:
        heard.append(request.headers.get("X-Forwarded-Host") or request.host)
        ask_for_reset(email, of_staff=of_staff)

    monkeypatch.setattr(reset_requests, "ask", listening)
    monkeypatch.setattr(
        link_tokens, "portal_url", lambda settings, slug, path="/": f"http://{heard[-1] if heard else demo.ELM}{path}"
    )
    with pytest.raises(AssertionError):
        check_every_letter_is_clean(app, monkeypatch, headers)


# Asked for at the wrong door ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "path", "email"),
    [
        (f"{demo.OAK}.{BASE}", "/new-link", "omar@family.example"),
        (f"admin.{BASE}", f"/{demo.OAK}/forgot-password", "ana@elm.example"),
        (f"admin.{BASE}", f"/{demo.ELM}/forgot-password", "omar@family.example"),
        (f"admin.{BASE}", "/new-link", "omar@family.example"),
        (f"{demo.ELM}.{BASE}", "/new-link", "ana@elm.example"),
        (f"{demo.ELM}.{BASE}", f"/{demo.ELM}/forgot-password", "ana@elm.example"),
    ],
)
def test_the_wrong_door_mails_nothing(
    app: Flask, monkeypatch: pytest.MonkeyPatch, base: str, path: str, email: str
) -> None:
    """The other clinic's host, or the staff's, cannot be used to bother a family of this one."""
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)
    before = [len(written(app, slug)) for slug in (demo.ELM, demo.OAK)]
    Visitor(app, f"http://{base}:{PORT}").post(path, {"email": email})
    mail_resets(app)
    assert [len(written(app, slug)) for slug in (demo.ELM, demo.OAK)] == before


def test_an_address_known_at_both_clinics_gets_a_letter_of_the_one_asked(app: Flask, oak_portal: Visitor) -> None:
    before = len(written(app, demo.ELM))
    oak_portal.get("/new-link")
    assert oak_portal.post("/new-link", {"email": "maria@family.example"}).status_code == 303
    mail_resets(app)
    assert len(written(app, demo.ELM)) == before
    newest = written(app, demo.OAK)
    assert newest
    assert_all_under(newest, OAK_URLS)


# What each letter says, at the address the clinic has when it is written ----------------------------------------------


def every_letter(app: Flask) -> list[Page]:
    """One of each kind that can be sent, written for Elm Street now."""
    with inside(app, demo.ELM) as clinic:
        head, key = portal_settings.letterhead.of_clinic(), rendering.signing_key()
        made = []
        for kind in letters.KINDS.values():
            ids = {"link_id": str(uuid4())} if issubclass(kind, LinkLetter) else {"portal_user_id": str(uuid4())}
            made.append(rendering.written(letters.restored(kind.kind, letters.Addressee("a@b.example"), ids), clinic, head, key))
        return made


def check_present_address(app: Flask) -> None:
    with inside(app, demo.ELM):
        portal_settings.rename_portal("elm-lane")
    with inside(app, "elm-lane") as clinic:
        assert clinic.slug == "elm-lane"
    urls = tuple(url.replace(demo.ELM, "elm-lane") for url in ELM_URLS)
    assert_all_under(every_letter(app), urls)


def test_every_kind_of_letter_has_addresses_of_the_clinic_only(app: Flask) -> None:
    assert_all_under(every_letter(app), ELM_URLS)


def test_a_letter_written_after_a_rename_has_the_new_address(app: Flask) -> None:
    check_present_address(app)


def test_planted_a_letter_with_the_address_of_yesterday(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    stale: Callable[..., str] = lambda settings, slug, path="/": f"http://{demo.ELM}.{BASE}:{PORT}{path}"  # noqa: E731
    monkeypatch.setattr(rendering, "portal_url", stale)
    with pytest.raises(AssertionError):
        check_present_address(app)


# The source ---------------------------------------------------------------------------------------------------------

FORBIDDEN = re.compile(
    r"_external|request\.(?:host|url|base_url|root_url|headers|environ)|host_url|url_root|url_for\(|SERVER_NAME|HTTP_HOST"
)


def addresses_taken_from_requests(*folders: Path) -> list[str]:
    """Lines of code or template below these folders that could take an address from a request."""
    return [
        f"{path.name}:{number}"
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".py", ".html", ".txt") and path.name != "mail_page.py"  # the demo's own page
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if FORBIDDEN.search(line)
    ]


def test_nothing_that_writes_letters_knows_of_requests() -> None:
    assert addresses_taken_from_requests(ROOT / "mail", ROOT / "clinic", ROOT / "tenancy" / "link_tokens.py") == []


@pytest.mark.parametrize("line", ["url_for('portal.home', _external=True)", "f'https://{request.host}/'", "{{ request.host_url }}"])
def test_planted_a_line_that_does(tmp_path: Path, line: str) -> None:
    (tmp_path / "letter.html").write_text(f"Hello\n{line}\n")
    assert addresses_taken_from_requests(tmp_path) == ["letter.html:2"]


def test_the_front_door_lists_present_addresses_of_active_clinics(app: Flask) -> None:
    with inside(app, demo.ELM):
        portal_settings.rename_portal("elm-lane")
    with app.app_context():
        found = front_door.portals_of(" Maria@Family.Example ")
        assert [each["url"] for each in found] == [f"http://elm-lane.{BASE}:{PORT}/", OAK_URLS[0]]
        with transaction():
            assert clinics.find_at(demo.ELM) is not None
