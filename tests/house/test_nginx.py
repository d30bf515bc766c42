"""nginx.conf: what a deployer copies says what it should, and nginx does what it says.

Lost if it fails: large files are refused where families send them, or taken everywhere; one machine asks for everybody;
or nginx's own error pages go out bare. What attackers try at the door is in tests/attack.
"""

import base64
import hashlib
import re
from collections.abc import Iterator

import pytest

from clinic import demo
from tests.house import route_map
from tests.outer_door import BASE, ROOT, Answer, Door

CONF = (ROOT / "nginx.conf").read_text()
ELM = f"{demo.ELM}.{BASE}"
HEADERS = (
    *("Strict-Transport-Security", "Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy"),
    *("Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Permissions-Policy", "Cache-Control"),
)
LOGO = "/clinic-options/look"  # its form may be sent without a file


def location_of_files(text: str) -> re.Pattern[str]:
    """The addresses to which nginx lets large bodies through."""
    (found,) = re.findall(r"location ~ (\S+) \{\s+client_max_body_size 21m;", text)
    return re.compile(found)


def mistaken(text: str) -> Iterator[str]:
    """Addresses that take files and are not let through, or take none and are."""
    places = location_of_files(text)
    ids = {kind: route_map.MADE_UP_ID for kind in route_map.KINDS}
    for route in route_map.declared():
        if "POST" in route.methods and not set(route.given):
            takes_files = "=pdf" in route.form.values() or route.rule == LOGO or route.rule.endswith("conversations/new")
            if bool(places.search(route.path(ids))) != takes_files:
                yield str(route)


def test_files_are_taken_where_a_form_has_a_place_for_them() -> None:
    assert not list(mistaken(CONF))


def test_planted_files_are_taken_everywhere_or_nowhere() -> None:
    places = location_of_files(CONF).pattern
    assert list(mistaken(CONF.replace(places, "^/"))) and list(mistaken(CONF.replace(places, "^/nowhere$")))


def test_what_is_to_be_changed_is_marked() -> None:
    marked = [line for line in CONF.splitlines() if "HERE" in line]
    theirs = r"portal\.example|portal\\\.example|/etc/|/var/log|unix:"
    assert not [line for line in CONF.splitlines()[6:] if re.search(theirs, line.partition("#")[0]) and line not in marked]


def test_the_style_of_its_pages_is_the_one_that_is_let_in() -> None:
    (style,), (allowed,) = re.findall(r"<style>(.*?)</style>", CONF), re.findall(r"style-src 'sha256-([^']+)'", CONF)
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() == allowed


def test_no_request_line_with_a_secret_is_written() -> None:
    (pattern,) = re.findall(r'"~(\^\(\?<before>[^"]+)" \$before', CONF)
    logged = re.compile(pattern.replace("?<", "?P<"))
    for prefix in ("", f"/{demo.ELM}"):
        found = logged.match(f"{prefix}/link/invitation/secret")
        assert found and found["before"] == f"{prefix}/link/invitation"
    assert "$request " not in CONF and "$request_uri\"" not in CONF and "$args" not in CONF and "referer" not in CONF


pages = pytest.mark.slow


def wears_every_header(answer: Answer) -> None:
    for name in HEADERS:
        assert answer.header(name) and ", " not in answer.header(name).partition("=")[0], (answer.status, name)
    assert answer.header("Strict-Transport-Security") == "max-age=63072000; includeSubDomains; preload"
    assert answer.header("Server") == "nginx"


def every_own_page(door: Door) -> None:
    """Each status that nginx itself answers with."""
    post = f"POST /profile HTTP/1.1\nHost: {ELM}\nConnection: close\n"
    asked = {
        400: f"GET / HTTP/1.1\nHost: {ELM}\nHost: {ELM}\n\n",
        405: f"DELETE / HTTP/1.1\nHost: {ELM}\nConnection: close\n\n",
        413: f"{post}Content-Length: 2000000\n\n",
        414: f"GET /{'x' * 9_000} HTTP/1.1\nHost: {ELM}\nConnection: close\n\n",
        421: "GET / HTTP/1.1\nHost: evil.example\nConnection: close\n\n",
        431: f"GET / HTTP/1.1\nHost: {ELM}\nX: {'x' * 40_000}\nConnection: close\n\n",
    }
    for status, request in asked.items():
        answer = door.ask(request)
        assert answer.status == status
        wears_every_header(answer)
        assert not answer.header("Set-Cookie") and "script" not in answer.text
        if status in (413, 421, 431):
            assert "<h1>" in answer.text and "<p>" in answer.text


@pages
def test_its_own_pages_wear_every_header_and_say_what_to_do(door: Door) -> None:
    every_own_page(door)


@pages
def test_the_applications_answers_wear_each_header_once(door: Door) -> None:
    for host, path in ((ELM, "/sign-in"), (ELM, "/nowhere"), (f"admin.{BASE}", "/"), (BASE, "/"), (ELM, "/profile")):
        answer = door.get(host, path)
        wears_every_header(answer)
        names = [name.lower() for name, _ in answer.headers]
        assert all(names.count(name.lower()) == 1 for name in HEADERS), (path, answer.headers)
    assert "nonce-" in door.get(ELM).header("Content-Security-Policy")


@pages
def test_when_the_application_is_away_people_are_told(door: Door) -> None:
    with door.rebuilt((f"unix:{door.inner_socket}", f"unix:{door.folder}/nobody.sock")) as alone:
        answer = alone.get(ELM)
    assert answer.status == 502 and "Please come back in a moment" in answer.text
    wears_every_header(answer)


@pages
def test_planted_bare_pages(door: Door) -> None:
    weak = ("add_header X-Content-Type-Options $nosniff always;", "add_header X-Content-Type-Options $nosniff;")
    with door.rebuilt(weak) as bare, pytest.raises(AssertionError):
        every_own_page(bare)


@pages
@pytest.mark.parametrize(
    ("path", "size", "is_let_in"),
    [
        ("/profile", 900_000, True),
        ("/profile", 1_100_000, False),
        ("/sign-in", 60_000, True),
        ("/sign-in", 70_000, False),
        ("/link/invitation", 70_000, False),
        (f"/patients/{route_map.MADE_UP_ID}/conversations/new", 20_000_000, True),
        (f"/patients/{route_map.MADE_UP_ID}/conversations/{route_map.MADE_UP_ID}", 23_000_000, False),
    ],
)
def test_bodies_are_as_large_as_their_place_needs(door: Door, path: str, size: int, is_let_in: bool) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: {ELM}\r\nConnection: close\r\nContent-Length: {size}\r\n"
    answer = door.ask(f"{head}Content-Type: text/plain\r\n\r\n".encode() + b"x" * size)
    assert answer.status == (403 if is_let_in else 413)


@pages
def test_stripes_events_come_many_at_once_from_one_address_and_are_small(door: Door) -> None:
    """A refused event comes again hours later: a family that paid is told meanwhile that it did not."""

    def send(body: bytes) -> int:
        head = f"POST /webhooks/stripe HTTP/1.1\r\nHost: {BASE}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        asked = f"{head}Content-Type: application/json\r\n\r\n".encode() + body
        return door.ask(asked, name=BASE, source="127.203.0.1").status

    assert {send(b"{}") for _ in range(150)} == {400}  # as the application answers what nobody signed
    assert send(b"x" * 200_000) == 400 and send(b"x" * 300_000) == 413


def tries_are_counted(door: Door, path: str, method: str, at_most: int) -> None:
    """From one address; another one is let in all the while."""
    request = f"{method} {path} HTTP/1.1\nHost: {ELM}\nContent-Length: 0\nConnection: close\n\n"
    with door.watched() as seen:
        answers = [door.ask(request, source="127.201.0.1") for _ in range(at_most)]
        other = door.ask(request, source="127.202.0.1")
    refused = [answer for answer in answers if answer.status == 429]
    assert refused and other.status != 429 and answers[0].status != 429
    assert len(seen) == at_most - len(refused) + 1
    assert "Wait a minute" in refused[0].text
    wears_every_header(refused[0])


@pages
def test_signing_in_is_tried_so_often_and_no_more(door: Door) -> None:
    tries_are_counted(door, "/sign-in", "POST", 36)
    with door.watched() as seen:
        assert door.get(ELM, source="127.201.0.1").status == 200, "looking is not trying"
    assert seen


@pages
def test_links_are_tried_so_often_and_no_more(door: Door) -> None:
    tries_are_counted(door, "/link/invitation/made-up", "GET", 70)


@pages
def test_planted_no_limit(door: Door) -> None:
    with door.rebuilt(("limit_req zone=sign_in burst=30 nodelay;", "")) as weak, pytest.raises(AssertionError):
        tries_are_counted(weak, "/sign-in", "POST", 36)


@pages
def test_neither_queries_nor_secrets_are_in_its_logs(door: Door) -> None:
    door.get(ELM, "/link/invitation/a-very-secret-word?and=a-secret-query", "Referer: https://a-secret-page.example/\n")
    door.get(f"admin.{BASE}", f"/{demo.ELM}/link/staff-invitation/a-very-secret-word")
    with door.rebuilt((f"unix:{door.inner_socket}", f"unix:{door.folder}/nobody.sock")) as alone:
        alone.get(ELM, "/link/invitation/a-very-secret-word?and=a-secret-query")
    logs = [path for path in door.folder.rglob("*.log") if path != door.log]
    lines = [line for path in logs for line in path.read_text(errors="replace").splitlines()]
    assert any('"GET /link/invitation"' in line for line in lines)
    assert not [line for line in lines if re.search("a-(very-)?secret", line)]
