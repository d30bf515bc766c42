"""T13: one request names one host, and everybody who reads it reads the same one.

Lost if it fails: a request is let in as one clinic's and answered as another's, a mailed link or a redirect leads to a
host that somebody chose, or the application is reached past its door.
Bytes over real TLS sessions, to the nginx.conf of the repository and the application server behind it.
"""

import re
import runpy
import stat
from collections.abc import Callable

import pytest
from flask import Flask

from clinic import demo
from tests.outer_door import BASE, ROOT, Answer, Door
from tests.visitor import Visitor

pytestmark = pytest.mark.slow

ELM, OAK, ADMIN = f"{demo.ELM}.{BASE}", f"{demo.OAK}.{BASE}", f"admin.{BASE}"
CLOSE = "Connection: close\n\n"
NOT_OURS = [
    *(f"nowhere..{BASE}", f"a.{ELM}", f"{ELM}.evil.example", f"{ELM}.", f"{ELM}..", f".{ELM}", "evil.example", "localhost"),
    *("127.0.0.1", "[::1]", "", f"{ELM}:1@evil.example", f"{ELM}:1", f"{ELM}:80", f"{ELM}:0443", f"{ELM}:", f"{ELM}:443:443"),
    *(f"user@{ELM}", f"{ELM}@evil.example", f"{ELM} ", f"{ELM} {OAK}", f"{ELM}\t", f"{ELM},{OAK}", f"elm_street.{BASE}"),
    *(f"-elm.{BASE}", f"elm-.{BASE}", f"e--m.{BASE}", f"el.{BASE}", f"{'e' * 41}.{BASE}", f"xn--elm-street.{BASE}"),
    *(f"{'e' * 5000}.{BASE}", f"elm\u00e9.{BASE}", f"elm%2estreet.{BASE}", f"{ELM}/", f"{ELM}#", f"{ELM}?x", f"*.{BASE}"),
]


def is_turned_away(answer: Answer, what: object) -> None:
    """By nginx, without a cookie, without a way on. No answer at all is one, too."""
    assert answer.status in (0, 400, 404, 405, 421, 431), (what, answer.status)
    assert not answer.header("Set-Cookie") and not answer.header("Location"), what
    assert "Elm Street" not in answer.text and "Oak Hill" not in answer.text, what


def all_that_name_no_host_of_ours_are_turned_away(door: Door, hosts: list[str]) -> None:
    """Whether the handshake named a host of ours, or the same one that the request names."""
    with door.watched() as seen:
        for host in hosts:
            for name in (ELM, host):
                if name == ELM or re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", name) and len(name) < 100:
                    is_turned_away(door.ask(f"GET /sign-in HTTP/1.1\nHost: {host}\n{CLOSE}", name=name), host)
    assert not seen, "it reached the application"


def test_only_a_host_of_ours_reaches_the_application(door: Door) -> None:
    all_that_name_no_host_of_ours_are_turned_away(door, [host for host in NOT_OURS if host.strip() == host])


def test_blanks_around_a_host_are_not_a_part_of_it(door: Door) -> None:
    """nginx drops them, as RFC 9110 says, so both read the same."""
    for host in (f"{ELM} ", f" {ELM}", f"{ELM}\t"):
        with door.watched() as seen:
            answer = door.ask(f"GET /sign-in HTTP/1.1\nHost: {host}\n{CLOSE}", name=ELM)
        assert answer.status in (200, 400, 421), host
        assert [f" host={ELM} " in line for line in seen] == [True] * (answer.status == 200), host


@pytest.mark.parametrize(
    ("name", "host"),
    [(ELM, OAK), (ELM, ADMIN), (ELM, BASE), (ADMIN, ELM), (BASE, ELM), ("evil.example", ELM), (OAK, ELM), (None, ELM)],
)
def test_the_handshake_and_the_request_name_one_host(door: Door, name: str | None, host: str) -> None:
    the_handshake_decides(door, name, host)


def the_handshake_decides(door: Door, name: str | None, host: str) -> None:
    with door.watched() as seen:
        answer = door.ask(f"GET /sign-in HTTP/1.1\nHost: {host}\n{CLOSE}", name=name)
    is_turned_away(answer, (name, host))
    assert answer.status == 421 and not seen


@pytest.mark.parametrize("host", [ELM.upper(), "Elm-Street.Portal.Test", f"{ELM}:443"])
def test_case_and_the_ports_own_number_are_the_same_host(door: Door, host: str) -> None:
    with door.watched() as seen:
        answer = door.ask(f"GET /sign-in HTTP/1.1\nHost: {host}\n{CLOSE}", name=ELM)
    assert answer.status == 200 and "Elm Street" in answer.text
    assert f" host={ELM} " in seen[0]


def test_the_front_door_and_the_staff_pages_have_their_hosts(door: Door) -> None:
    for host, path, words in ((BASE, "/", "portal"), (ADMIN, f"/{demo.ELM}/sign-in", "Elm Street")):
        answer = door.get(host, path)
        assert answer.status == 200 and words in answer.text, host
    for reserved in ("www", "nowhere", "mail"):
        answer = door.get(f"{reserved}.{BASE}", "/")
        assert answer.status == 404 and not answer.header("Set-Cookie"), reserved


REQUESTS = {
    "an absolute address of another": f"GET https://{OAK}/sign-in HTTP/1.1\nHost: {ELM}\n{CLOSE}",
    "an absolute address, another host": f"GET https://{ELM}/sign-in HTTP/1.1\nHost: {ADMIN}\n{CLOSE}",
    "an absolute address of elsewhere": f"GET https://evil.example/sign-in HTTP/1.1\nHost: {ELM}\n{CLOSE}",
    "an absolute address with user-info": f"GET https://{ELM}:x@evil.example/ HTTP/1.1\nHost: {ELM}\n{CLOSE}",
    "two hosts": f"GET /sign-in HTTP/1.1\nHost: {ELM}\nHost: {OAK}\n{CLOSE}",
    "the same host twice": f"GET /sign-in HTTP/1.1\nHost: {ELM}\nHost: {ELM}\n{CLOSE}",
    "a host on a folded line": f"GET /sign-in HTTP/1.1\nHost: {ELM}\n {OAK}\n{CLOSE}",
    "a blank before the colon": f"GET /sign-in HTTP/1.1\nHost : {OAK}\n{CLOSE}",
    "no host": f"GET /sign-in HTTP/1.1\n{CLOSE}",
    "no host, of old": "GET /sign-in HTTP/1.0\n\n",
    "no version": "GET /sign-in\n\n",
    "a proxy's word": f"CONNECT {OAK}:443 HTTP/1.1\nHost: {ELM}\n{CLOSE}",
    "a name with a line's end": f"GET /sign-in HTTP/1.1\nHost: {ELM}\rX: y\n{CLOSE}",
}


@pytest.mark.parametrize("which", REQUESTS)
def test_a_request_that_could_name_two_hosts_names_none(door: Door, which: str) -> None:
    with door.watched() as seen:
        is_turned_away(door.ask(REQUESTS[which], name=ELM), which)
    assert not seen


LIES = {
    **{"X-Forwarded-Host": OAK, "X-Forwarded-Proto": "http", "X-Forwarded-For": "10.1.2.3", "X-Forwarded-Prefix": "/x"},
    **{"X-Forwarded-Port": "8443", "X-Forwarded-Server": OAK, "X-Forwarded-Scheme": "http", "X-Forwarded-Ssl": "off"},
    **{"Forwarded": f"for=10.1.2.3;host={OAK};proto=http", "X-Original-URL": f"/{demo.OAK}/", "X-Rewrite-URL": "/profile"},
    **{"X-Accel-Redirect": "/etc/passwd", "X-Accel-Buffering": "no", "X-Real-IP": "10.1.2.3", "X-Host": OAK},
    **{"SCRIPT_NAME": "/x", "PATH_INFO": "/profile", "Script-Name": "/x", "X-Original-Host": OAK, "Remote-User": "ana"},
    **{"X-HTTP-Method-Override": "POST", "Proxy": "http://evil.example", "X_FORWARDED_HOST": OAK, "True-Client-IP": "::1"},
}


def lies_change_nothing(door: Door) -> None:
    lies = "".join(f"{name}: {value}\n" for name, value in LIES.items())
    with door.watched() as seen:
        answer = door.get(ELM, "/sign-in", lies, source="127.9.8.7")
    assert answer.status == 200 and "Elm Street" in answer.text and "Oak Hill" not in answer.text
    assert "__Host-portico" in answer.header("Set-Cookie") and OAK not in str(answer.headers) + answer.text
    assert seen[0] == f"GET /sign-in host={ELM} for=127.9.8.7 names=---"
    moved = door.get(ELM, "/", lies)
    assert moved.status == 303 and moved.header("Location") == "/sign-in"


def test_what_a_client_says_of_forwarding_changes_nothing(door: Door) -> None:
    lies_change_nothing(door)


def test_the_application_server_is_on_a_socket_that_only_nginx_is_let_in_to(door: Door) -> None:
    mode = door.inner_socket.stat().st_mode
    assert stat.S_ISSOCK(mode) and not stat.S_IMODE(mode) & stat.S_IRWXO
    assert runpy.run_path(str(ROOT / "gunicorn.conf.py"))["bind"].startswith("unix:")


@pytest.mark.parametrize("host", [host for host in NOT_OURS if host.isascii()] + [f"xn--a.{BASE}"])
def test_past_nginx_the_application_reads_hosts_as_strictly(door: Door, host: str) -> None:
    """The same bytes to the application server itself, as its own firewall's mistake would let through."""
    lies = f"X-Forwarded-Host: {ELM}\nForwarded: host={ELM}\n"
    answer = door.ask_inside(f"GET /sign-in HTTP/1.1\nHost: {host}\n{lies}{CLOSE}")
    if host.strip() in (ELM, f"{ELM}:0443"):  # the same number
        assert answer.status == 200
    else:
        is_turned_away(answer, host)


def test_without_tls_there_is_only_the_way_to_it_and_to_hosts_of_ours(door: Door) -> None:
    for host in (ELM, ADMIN, BASE, ELM.upper()):
        answer = door.ask_plainly(f"GET /sign-in?next=/profile HTTP/1.1\nHost: {host}\n{CLOSE}")
        assert answer.status == 301
        assert answer.header("Location") == f"https://{host.lower()}/sign-in?next=/profile"
        assert not answer.header("Set-Cookie") and not answer.header("Strict-Transport-Security")
    for host in NOT_OURS:
        answer = door.ask_plainly(f"GET / HTTP/1.1\nHost: {host}\n{CLOSE}")
        where = answer.header("Location").removeprefix("https://").partition("/")[0]
        assert answer.status in (0, 301, 400) and where in ("", ELM), host
    for path in ("/%0d%0aSet-Cookie:%20a=b", "//evil.example/", "/\\evil.example", "https://evil.example/x", "/%0a"):
        answer = door.ask_plainly(f"GET {path} HTTP/1.1\nHost: {ELM}\n{CLOSE}")
        where = answer.header("Location")
        assert where == "" or where.startswith(f"https://{ELM}/"), path
        assert not answer.header("Set-Cookie"), path


WEAKNESSES: dict[str, tuple[tuple[str, str], Callable[[Door], None]]] = {
    "the handshake is not compared": (
        ("if ($is_one_name = 0) { return 421; }", ""),
        lambda door: the_handshake_decides(door, ELM, OAK),
    ),
    "every host is ours": (
        ("if ($is_our_host = 0) { return 421; }", ""),
        lambda door: all_that_name_no_host_of_ours_are_turned_away(door, [f"xn--elm-street.{BASE}"]),
    ),
    "forwarding is added to what was said": (
        ("proxy_set_header X-Forwarded-For $remote_addr;", "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"),
        lies_change_nothing,
    ),
    "another host's word is let through": (('proxy_set_header X-Forwarded-Host "";', ""), lies_change_nothing),
}


@pytest.mark.parametrize("weakness", WEAKNESSES)
def test_planted(door: Door, weakness: str) -> None:
    change, check = WEAKNESSES[weakness]
    with door.rebuilt(change) as weak, pytest.raises(AssertionError):
        check(weak)


def test_planted_the_clients_own_host_is_passed_on(door: Door) -> None:
    """With the comparison of names gone too, nginx lets in an Elm Street request that is answered as the staff's door."""
    changes = (
        ("proxy_set_header Host $host;", "proxy_set_header Host $http_host;"),
        ("if ($is_one_name = 0) { return 421; }", ""),
    )
    for weakness, reached in ((changes, ADMIN), (changes[1:], ELM)):
        with door.rebuilt(*weakness) as weak, weak.watched() as seen:
            weak.ask(REQUESTS["an absolute address, another host"], name=ELM)
        assert f" host={reached} " in seen[0]


def test_a_person_gets_in_by_the_outer_door(door: Door) -> None:
    app: Flask = door.app
    maria = Visitor(app, f"https://{ELM}").sign_in("maria@family.example")
    assert "Leo Lopez" in maria.read("/")
    ana = Visitor(app, f"https://{ADMIN}").sign_in("ana@elm.example", f"/{demo.ELM}")
    assert "Leo Lopez" in ana.read(f"/{demo.ELM}/patients")
