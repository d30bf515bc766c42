"""T40: nobody is led off by an address of ours, and no request hides in another.

Lost if it fails: a link that begins with the clinic's own address ends at a copy of its sign-in page; one connection's
bytes are taken for another person's request; or a handful of slow connections keeps everybody out.
"""

import itertools
import json
import socket
import ssl
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin, urlsplit

import pytest
from flask import Flask

import portal_app.sign_in
from clinic import demo
from tests.outer_door import BASE, Answer, Door, exchange, new_address, read
from tests.visitor import Visitor

ELM, OAK = f"{demo.ELM}.{BASE}", f"{demo.OAK}.{BASE}"
FACES = {"portal": ("http://elm-street.localhost:8000", "", "maria@family.example"),
         "admin": ("http://admin.localhost:8000", f"/{demo.ELM}", "ana@elm.example")}  # fmt: skip
OFF = [
    *("//evil.example", "///evil.example", "////evil.example", "/\\evil.example", "\\\\evil.example", "\\/evil.example"),
    *("https:evil.example", "https:/evil.example", "https://evil.example", "http:///evil.example", "HTTPS://EVIL.EXAMPLE"),
    *("\t//evil.example", "/\t/evil.example", "/\n/evil.example", "\r\n//evil.example", " //evil.example", "\x00//evil.example"),
    *("\u2028//evil.example", "/\u200b/evil.example", "\u3000//evil.example", "/%09/evil.example", "%2f%2fevil.example"),
    *("@evil.example", ".evil.example", ":80@evil.example", "evil.example", "//elm-street.localhost:8000@evil.example"),
    *("/x\r\nSet-Cookie: a=b", "/%0d%0aSet-Cookie:%20a=b", "/x\nLocation: https://evil.example", "/\\\\evil.example/x"),
    *("http://oak-hill.localhost:8000/", "//oak-hill.localhost:8000/", "//admin.localhost:8000/oak-hill/", "//localhost:8000"),
    *("javascript:alert(1)", "java\tscript:alert(1)", "data:text/html,<script>alert(1)</script>", "vbscript:x", "blob:x"),
    *("//xn--evl-zqa.example", "//ev\u0131l.example", "//evil\u3002example", "//[::1]/", "//127.0.0.1", "//0x7f000001"),
    *("/" + "a" * 2100, "https://elm-street.localhost:8000.evil.example/", "/..//evil.example", "/.//evil.example", "?x", "#x"),
    *("/elm-street//evil.example", "/elm-street/\\evil.example", "/elm-street/../..//evil.example", "/oak-hill/", "../x"),
]  # fmt: skip


def where_a_browser_goes(own: str, location: str) -> str:
    """The origin that a browser reads in a Location header: it drops tabs and line ends, and takes \\ for /."""
    read_so = "".join(each for each in location if each not in "\t\r\n").strip().replace("\\", "/")
    parts = urlsplit(urljoin(own, read_so))
    return f"{parts.scheme}://{parts.netloc}"


def nobody_is_led_off(app: Flask, face: str, asked_for: list[str]) -> None:
    own, prefix, email = FACES[face]
    for each in asked_for:
        visitor = Visitor(app, own)
        visitor.get(f"{prefix}/sign-in", query_string={"next": each})
        form = {"email": email, "password": demo.PASSWORD}
        answer = visitor.post(f"{prefix}/sign-in", form, query_string={"next": each})
        leads_on(own, answer.status_code, answer.headers.getlist("Location"), each)
        assert not [name for name in answer.headers.getlist("Set-Cookie") if name.startswith("a=")], each
        for page in ("/language", f"{prefix}/sign-in"):
            spoken = Visitor(app, own)
            spoken.get(f"{prefix}/sign-in")
            answer = spoken.post(page, {"language": "es", "next": each})
            if answer.status_code == 303:
                leads_on(own, 303, answer.headers.getlist("Location"), each)


def leads_on(own: str, status: int, locations: list[str], asked_for: str) -> None:
    assert status == 303 and len(locations) == 1, (asked_for, status)
    assert where_a_browser_goes(own, locations[0]) == own, (asked_for, locations)
    assert locations[0].startswith("/") and locations[0].isprintable() and len(locations[0]) < 2100, (asked_for, locations)


@pytest.mark.slow
@pytest.mark.parametrize("face", FACES)
def test_after_signing_in_one_is_where_one_was(app: Flask, face: str) -> None:
    nobody_is_led_off(app, face, OFF)
    good = {"portal": "/profile?x=1", "admin": f"/{demo.ELM}/patients?q=a"}[face]
    own, prefix, email = FACES[face]
    visitor = Visitor(app, own)
    visitor.get(f"{prefix}/sign-in")
    form = {"email": email, "password": demo.PASSWORD}
    answer = visitor.post(f"{prefix}/sign-in", form, query_string={"next": good})
    assert answer.headers["Location"] == good


@pytest.mark.parametrize("face", FACES)
def test_nor_by_line_ends_and_other_control_characters(app: Flask, face: str) -> None:
    nobody_is_led_off(app, face, [f"/x{each}y" for each in "\t\n\r\x00\x0b\x7f\x85\u2028"])


def test_planted_any_address_is_followed(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portal_app.sign_in, "safe_next", lambda text: text)
    with pytest.raises(AssertionError):
        nobody_is_led_off(app, "portal", OFF[:1])


# Requests within requests, to nginx over TLS. HIDDEN must never be seen by itself.

HIDDEN = f"GET /hidden HTTP/1.1\r\nHost: {ELM}\r\n\r\n"
POST = f"POST /sign-in HTTP/1.1\r\nHost: {ELM}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
LAST = f"GET /sign-in HTTP/1.1\r\nHost: {ELM}\r\nConnection: close\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
REFUSED = {
    "length and chunks": f"{POST}Content-Length: 6\r\n{CHUNKED}\r\n0\r\n\r\n{HIDDEN}",
    "chunks and length": f"{POST}{CHUNKED}Content-Length: 4\r\n\r\n5c\r\n{HIDDEN}\r\n0\r\n\r\n",
    "two lengths": f"{POST}Content-Length: 0\r\nContent-Length: {len(HIDDEN)}\r\n\r\n{HIDDEN}",
    "the same length twice": f"{POST}Content-Length: 0\r\nContent-Length: 0\r\n\r\n{HIDDEN}",
    "a list of lengths": f"{POST}Content-Length: 0, {len(HIDDEN)}\r\n\r\n{HIDDEN}",
    "a length with a sign": f"{POST}Content-Length: +0\r\n\r\n{HIDDEN}",
    "a negative length": f"{POST}Content-Length: -1\r\n\r\n{HIDDEN}",
    "a hexadecimal length": f"{POST}Content-Length: 0x0\r\n\r\n{HIDDEN}",
    "a length with a blank inside": f"{POST}Content-Length: 0 0\r\n\r\n{HIDDEN}",
    "a length too long": f"{POST}Content-Length: 99999999999999999999\r\n\r\n{HIDDEN}",
    "chunks of an unknown kind": f"{POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "chunks twice": f"{POST}{CHUNKED}{CHUNKED}\r\n0\r\n\r\n{HIDDEN}",
    "chunks and as they are": f"{POST}{CHUNKED}Transfer-Encoding: identity\r\n\r\n0\r\n\r\n{HIDDEN}",
    "a list of kinds": f"{POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{HIDDEN}",
    "a list of chunks": f"{POST}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "as they are": f"{POST}Transfer-Encoding: identity\r\n\r\n{HIDDEN}",
    "a quoted kind": f'{POST}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n{HIDDEN}',
    "a blank before the colon": f"{POST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "a folded kind": f"{POST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "a folded line": f"{POST}Content-Length: 0\r\nX: y\r\n Content-Length: {len(HIDDEN)}\r\n\r\n{HIDDEN}",
    "a vertical tab": f"{POST}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "chunks in HTTP/1.0": f"{POST.replace('1.1', '1.0')}{CHUNKED}\r\n0\r\n\r\n{HIDDEN}",
    "a chunk size with a sign": f"{POST}{CHUNKED}\r\n+0\r\n\r\n{HIDDEN}",
    "a chunk size with 0x": f"{POST}{CHUNKED}\r\n0x0\r\n\r\n{HIDDEN}",
    "a chunk size too large": f"{POST}{CHUNKED}\r\nffffffffffffffff\r\n{HIDDEN}",
    "a chunk that is longer than it says": f"{POST}{CHUNKED}\r\n1\r\nab\r\n0\r\n\r\n{HIDDEN}",
    "a zero byte in a name": f"{POST}Content\x00-Length: 0\r\n\r\n{HIDDEN}",
    "a zero byte in a value": f"{POST}Content-Length: 0\r\nX: \x00\r\n\r\n{HIDDEN}",
    "a bare CR": f"{POST}Content-Length: 0\rX: y\r\n\r\n{HIDDEN}",
    "a version nobody knows": f"GET /sign-in HTTP/9.9\r\nHost: {ELM}\r\n\r\n{HIDDEN}",
    "a blank in the address": f"GET /sign-in /hidden HTTP/1.1\r\nHost: {ELM}\r\n\r\n",
    "a line's end in the address": f"GET /sign-in\r HTTP/1.1\r\nHost: {ELM}\r\n\r\n{HIDDEN}",
    "a method in small letters": f"get /sign-in HTTP/1.1\r\nHost: {ELM}\r\n\r\n{HIDDEN}",
    "TRACE": f"TRACE /sign-in HTTP/1.1\r\nHost: {ELM}\r\nCookie: a=b\r\n\r\n{HIDDEN}",
    "TRACK": f"TRACK /sign-in HTTP/1.1\r\nHost: {ELM}\r\nCookie: a=b\r\nConnection: close\r\n\r\n",
    "CONNECT": f"CONNECT {ELM}:443 HTTP/1.1\r\nHost: {ELM}\r\n\r\n{HIDDEN}",
    "DELETE": f"DELETE /sign-in HTTP/1.1\r\nHost: {ELM}\r\nConnection: close\r\n\r\n",
    "PROPFIND": f"PROPFIND / HTTP/1.1\r\nHost: {ELM}\r\nConnection: close\r\n\r\n",
    "headers without end": f"{LAST}{''.join(f'X-{n}: {str(n) * 200}' + chr(13) + chr(10) for n in range(400))}\r\n",
    "one endless header": f"{LAST}X: {'x' * 40_000}\r\n\r\n",
    "an endless address": f"GET /{'x' * 40_000} HTTP/1.1\r\nHost: {ELM}\r\nConnection: close\r\n\r\n",
    "too large a body": f"{POST}Connection: close\r\nContent-Length: 90000000\r\n\r\n",
}
# What nginx understands in one way only, and hands on in that way: one request sent, one seen.
UNDERSTOOD = {
    "chunks": f"{POST}Connection: close\r\n{CHUNKED}\r\n{len(HIDDEN):x}\r\n{HIDDEN}\r\n0\r\n\r\n",
    "chunks with a note": f"{POST}Connection: close\r\n{CHUNKED}\r\n{len(HIDDEN):x};note=1\r\n{HIDDEN}\r\n0\r\n\r\n",
    "chunks with a trailer": f"{POST}Connection: close\r\n{CHUNKED}\r\n0\r\nContent-Length: 90\r\n\r\n",
    "a body where none belongs": f"{LAST}Content-Length: {len(HIDDEN)}\r\n\r\n{HIDDEN}",
    "lines that end in LF alone": f"{LAST}\r\n".replace("\r\n", "\n"),
    "an upgrade to HTTP/2": f"{LAST}Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
    "a WebSocket": f"{LAST}Upgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
    "an expectation": f"{POST}Connection: close\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    "a header with an underscore": f"{LAST}Content_Length: {len(HIDDEN)}\r\nTransfer_Encoding: chunked\r\n\r\n",
}


def none_is_let_in(door: Door, which: list[str]) -> None:
    for each in which:
        with door.watched() as seen:
            answer = door.ask(REFUSED[each].encode("latin-1"))
        assert answer.status in (0, 400, 405, 408, 411, 413, 414, 431, 501, 505), (each, answer.status)
        assert not seen, (each, seen)


@pytest.mark.slow
def test_what_could_be_read_in_two_ways_is_read_by_nobody(door: Door) -> None:
    none_is_let_in(door, list(REFUSED))


@pytest.mark.slow
@pytest.mark.parametrize("which", UNDERSTOOD)
def test_one_request_sent_is_one_seen(door: Door, which: str) -> None:
    with door.watched() as seen:
        answer = door.ask(UNDERSTOOD[which].encode("latin-1"))
    assert answer.status in (200, 403, 100), answer
    assert len(seen) == 1 and "/hidden" not in seen[0], seen


@pytest.mark.slow
def test_two_requests_on_one_connection_are_two(door: Door) -> None:
    """And each is answered to whoever sent it: the application's own connection serves one request only."""
    with door.watched() as seen:
        answer = door.ask(f"{LAST.replace('close', 'keep-alive')}\r\n{LAST}\r\n".encode())
    assert len(seen) == 2 and answer.text.count("HTTP/1.1 200") == 1


@pytest.mark.slow
def test_planted_a_front_that_reads_otherwise_than_what_stands_behind(door: Door) -> None:
    """A proxy that goes by the length where the application goes by the chunks, on a connection it uses again."""

    class Naive(Door):
        def ask(self, request: str | bytes, **_options: object) -> Answer:  # type: ignore[override]
            raw = request.encode() if isinstance(request, str) else request
            with socket.socket(socket.AF_UNIX) as inner:
                inner.settimeout(3)
                inner.connect(str(self.inner_socket))
                try:
                    return read(exchange(inner, raw.replace(b"Content-Length: 6\r\n", b"")))
                except TimeoutError:
                    return Answer(400, [], "")

    with pytest.raises(AssertionError):
        none_is_let_in(Naive(**vars(door)), ["length and chunks"])
    every_method = ('if ($request_method !~ "^(GET|HEAD|POST|OPTIONS)$") { return 405; }', "")
    with door.rebuilt(every_method) as weak, pytest.raises(AssertionError):
        none_is_let_in(weak, ["DELETE"])


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def packed(headers: list[tuple[str, str]]) -> bytes:
    """HPACK, each header literally, without index or Huffman's code; values may have 127 bytes and more."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers)


def _text(text: str) -> bytes:
    raw = text.encode("latin-1")
    length = bytes([len(raw)]) if len(raw) < 127 else bytes([127, (len(raw) - 127) % 128 | 128, (len(raw) - 127) // 128])
    return length + raw


def over_http2(door: Door, headers: list[tuple[str, str]], body: bytes = b"", name: str = ELM) -> bytes:
    """One request in frames; returns the frames that came back."""
    door.authority.set_alpn_protocols(["h2"])
    try:
        secure = door.connect(name)
    finally:
        door.authority.set_alpn_protocols(["http/1.1"])
    with secure:
        assert secure.selected_alpn_protocol() == "h2"
        secure.settimeout(2)
        data = frame(0, 1, 1, body) if body else b""
        request = frame(1, 4 if body else 5, 1, packed(headers)) + data
        received = b""
        try:
            secure.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + request)
            while b"\x00\x00\x00\x00\x01\x00\x00\x00\x01" not in received and (piece := secure.recv(65536)):
                received += piece
                if frame_kinds(received) & {3, 7} or (0, 1) in frame_ends(received):
                    break
        except (TimeoutError, ConnectionError, ssl.SSLError):
            pass
        return received


def frames(received: bytes) -> list[tuple[int, int]]:
    """(kind, flags) of each whole frame."""
    found, at = [], 0
    while at + 9 <= len(received):
        length = int.from_bytes(received[at : at + 3], "big")
        if at + 9 + length > len(received):
            break
        found.append((received[at + 3], received[at + 4]))
        at += 9 + length
    return found


def frame_kinds(received: bytes) -> set[int]:
    return {kind for kind, _ in frames(received)}


def frame_ends(received: bytes) -> set[tuple[int, int]]:
    return {(kind, flags & 1) for kind, flags in frames(received) if kind in (0, 1)}


H2 = [(":method", "GET"), (":scheme", "https"), (":authority", ELM), (":path", "/sign-in")]
H2_POST = [(":method", "POST"), *H2[1:]]
H2_REFUSED: dict[str, tuple[list[tuple[str, str]], bytes]] = {
    "another host beside the authority": ([*H2, ("host", OAK)], b""),
    "another authority than the handshake's": ([*H2[:2], (":authority", OAK), H2[3]], b""),
    "two paths": ([*H2, (":path", "/hidden")], b""),
    "a path with a line's end": ([*H2[:3], (":path", "/sign-in HTTP/1.1\r\nX: y\r\n\r\nGET /hidden")], b""),
    "a value with a line's end": ([*H2, ("x", "y\r\n\r\nGET /hidden HTTP/1.1\r\n")], b""),
    "a name with a line's end": ([*H2, ("x: y\r\nz", "y")], b""),
    "a name with a colon": ([*H2, ("content-length: 5", "y")], b""),
    "a name in capitals": ([*H2, ("X-Upper", "y")], b""),
    "a method with a line's end": ([(":method", "GET /hidden HTTP/1.1\r\nx:"), *H2[1:]], b""),
    "less than the length": ([*H2_POST, ("content-length", "900")], HIDDEN.encode()),
    "more than the length": ([*H2_POST, ("content-length", "1")], HIDDEN.encode()),
    "two lengths": ([*H2_POST, ("content-length", "1"), ("content-length", str(len(HIDDEN)))], HIDDEN.encode()),
}


@pytest.mark.slow
def test_http2_is_spoken_and_hides_nothing(door: Door) -> None:
    with door.watched() as seen:
        over_http2(door, H2)
    assert len(seen) == 1 and f"GET /sign-in host={ELM} " in seen[0]
    for which, (headers, body) in H2_REFUSED.items():
        with door.watched() as seen:
            over_http2(door, headers, body)
        assert not seen, (which, seen)
    with door.watched() as seen:  # ours to frame: what the client said of it is not passed on
        over_http2(door, [*H2_POST, ("transfer-encoding", "chunked")], b"0\r\n\r\n" + HIDDEN.encode())
    assert len(seen) <= 1 and not any("/hidden" in line for line in seen)


@pytest.mark.slow
def test_no_address_splits_an_answer(door: Door) -> None:
    paths = ("/sign-in?next=%0d%0aX-Split:%201", "/%0d%0aX-Split:%201", "/profile%0d%0aX-Split:%201", "/%E5%98%8D%E5%98%8AX-Split:1")
    for path, host in itertools.product(paths, (ELM, BASE, f"admin.{BASE}")):
        answer = door.get(host, path)
        assert not answer.header("X-Split") and answer.status in (200, 303, 308, 404), path
        plain = door.ask_plainly(f"GET {path} HTTP/1.1\nHost: {host}\nConnection: close\n\n")
        assert plain.status == 301 and not plain.header("X-Split"), path


@pytest.mark.slow
def test_planted_a_redirect_with_the_decoded_address(door: Door) -> None:
    decoded = ("return 301 https://$host$request_uri;", "return 301 https://$host$uri;")
    with door.rebuilt(decoded) as weak, pytest.raises(AssertionError):
        test_no_address_splits_an_answer(weak)


SLOW: dict[str, Callable[[Door], socket.socket]] = {
    "a handshake": lambda door: socket.create_connection(("127.0.0.1", door.port), 40, (new_address(), 0)),
    "a request line": lambda door: begun(door, "GET /sign-in HTTP/1.1\r\n"),
    "headers": lambda door: begun(door, LAST),
    "a body": lambda door: begun(door, f"{POST}Content-Length: 1000\r\n\r\nemail="),
}


def begun(door: Door, text: str) -> socket.socket:
    secure = door.connect()
    secure.settimeout(40)
    secure.sendall(text.encode())
    return secure


def seconds_until_cut(door: Door, which: str, most: float) -> float:
    """How long a connection is kept on which one byte comes in three seconds, and in the body none."""
    with SLOW[which](door) as connection:
        began = time.monotonic()
        while time.monotonic() - began < most:
            connection.settimeout(3)
            try:
                if which in ("a request line", "headers"):
                    connection.sendall(b"X")
                if not connection.recv(4096):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        return time.monotonic() - began


@pytest.mark.slow
def test_slow_connections_are_cut_and_keep_nobody_out(door: Door) -> None:
    """Forty of each kind at once, while somebody signs in. Planted beside them: a door that waits for minutes."""
    patient = (("client_header_timeout 10s", "client_header_timeout 300s"), ("client_body_timeout 15s", "client_body_timeout 300s"))
    crowd = [SLOW[which](door) for which in SLOW for _ in range(40)]
    with door.rebuilt(*patient) as weak, ThreadPoolExecutor(8) as pool, door.watched() as seen:
        kept = {which: pool.submit(seconds_until_cut, door, which, 35.0) for which in SLOW}
        kept_by_weak = {which: pool.submit(seconds_until_cut, weak, which, 20.0) for which in SLOW}
        began = time.monotonic()
        maria = Visitor(door.app, f"https://{ELM}").sign_in("maria@family.example")
        assert "Leo Lopez" in maria.read("/") and time.monotonic() - began < 8
        assert {which: 8 < each.result() < 30 for which, each in kept.items()} == dict.fromkeys(SLOW, True), json.dumps(
            {which: each.result() for which, each in kept.items()}
        )
        assert {which: each.result() > 19 for which, each in kept_by_weak.items()} == dict.fromkeys(SLOW, True)
    for each in crowd:
        each.close()
    assert all(line.split()[1] in ("/", "/sign-in") for line in seen)
    assert not any(line.startswith("POST") for line in seen[3:])
