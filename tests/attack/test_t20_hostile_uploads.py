"""T20: hostile files on every route that takes one, and the bytes where they lie.

Lost if it fails: a program comes into the clinic as a scan; one large or crafted file stops the portal for everybody; a
copy of the disk shows the families' papers; or two swapped rows hand one child's report to another family.
By size before it is read, by content and by name; each with a sentence, nothing half-written. At rest nothing is
readable, and bytes moved to another document or clinic do not open, and somebody is told.
"""

import io
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from flask import Flask, Request
from sqlalchemy import text
from werkzeug.test import EnvironBuilder, run_wsgi_app

from clinic import demo, demo_papers, document_store, incoming_files
from tenancy.database import db
from tests.clinic import files
from tests.house import route_map, whole_database
from tests.inside import inside
from tests.visitor import Visitor
from ui.body_sizes import MOST_OF_A_FORM

PAGE = demo_papers.pdf("CNRY-page", ["CNRY-line"])
ROUTES = [route for route in route_map.declared() if "POST" in route.answers and route.gate_name != "open"]
HOSTILE = {
    "nothing": ("a.pdf", b""),
    "a page": ("a.pdf", b"<!doctype html><script>alert(1)</script>"),
    "a drawing that acts": ("a.png", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
    "markup": ("a.pdf", b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>"),
    "an archive": ("a.pdf", files.archive()),
    "a letter with macros": ("a.pdf", files.archive("word/vbaProject.bin")),
    "two kinds at once": ("a.pdf", PAGE + files.archive()),
    "a script inside": ("a.pdf", files.pdf(files.runs_a_script)),
    "a file inside": ("a.pdf", files.pdf(files.carries_a_file)),
    "a bomb of a page": ("a.pdf", files.pdf_that_unpacks_to(100)),
    "a bomb of a picture": ("a.png", files.png_that_claims(30_000, 30_000)),
    "a program": ("a.pdf", b"MZ\x90\x00"),
    "another name": ("a.exe", PAGE),
    "EICAR": ("a.pdf", files.EICAR),
}


@dataclass
class Desk:
    app: Flask
    ana: Visitor
    leo: UUID
    type_id: UUID

    @property
    def path(self) -> str:
        return f"/{demo.ELM}/patients/{self.leo}/documents/new"

    def send(self, name: str, content: bytes, title: str = "A scan") -> Any:
        self.ana.get(self.path)
        form = {"title": title, "type_id": str(self.type_id), "dated_on": "2024-01-31"}
        return self.ana.post(self.path, form | {"file": (io.BytesIO(content), name)})


@pytest.fixture
def desk(app: Flask, ana: Visitor) -> Desk:
    ids = route_map.ids_of(app, demo.ELM, "Leo Lopez")
    return Desk(app, ana, ids["patient"], ids["type"])


def kept(app: Flask) -> list[int]:
    with inside(app, demo.ELM):
        tables = ("documents", "document_contents", "messages", "message_attachments")
        return [db.session.scalars(text(f"SELECT count(*) FROM {table}")).one() for table in tables]


# What is sent -------------------------------------------------------------------------------------------------------


def check_refused(desk: Desk, what: str) -> None:
    before = kept(desk.app)
    answer = desk.send(*HOSTILE[what], title="Typed title")
    assert answer.status_code == 422, what
    assert 'role="alert"' in answer.text and "Typed title" in answer.text
    assert kept(desk.app) == before


def test_a_hostile_document_is_refused_with_a_sentence(desk: Desk) -> None:
    for what in HOSTILE:
        check_refused(desk, what)


def test_so_is_one_that_a_family_sends(app: Flask, maria: Visitor, desk: Desk) -> None:
    route_map.write_each_other(app, demo.ELM)
    before, path = kept(app), f"/patients/{desk.leo}/conversations/new"
    maria.read(path)
    for what, (name, content) in HOSTILE.items():
        answer = maria.post(path, {"subject": "Typed", "text": "Typed text", "file": (io.BytesIO(content), name)})
        assert answer.status_code == 422 and "Typed text" in answer.text, what
    assert kept(app) == before


def test_a_logo_is_held_to_the_same(desk: Desk) -> None:
    path = f"/{demo.ELM}/clinic-options/look"
    for what in ("a drawing that acts", "a page", "a program", "a bomb of a picture", "an archive"):
        desk.ana.get(path)
        form = {"name": "Elm", "accent": "#1f6f6b", "logo": (io.BytesIO(HOSTILE[what][1]), "logo.png")}
        assert desk.ana.post(path, form).status_code == 422, what


def test_planted_a_file_is_believed_by_its_beginning(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming_files.pdf_files, "check", lambda *_args, **_names: None)
    with pytest.raises(AssertionError):
        check_refused(desk, "a script inside")


def test_planted_a_name_is_not_compared(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming_files, "SUFFIXES", {kind: (*each, "exe") for kind, each in incoming_files.SUFFIXES.items()})
    with pytest.raises(AssertionError):
        check_refused(desk, "another name")


@pytest.mark.parametrize("name", ["../../etc/cron.d/a.pdf", "a\x00.pdf", 'a"\r\nX-Evil: 1.pdf', "\u202efdp.pdf", "x" * 300 + ".pdf"])
def test_a_name_goes_nowhere(desk: Desk, name: str) -> None:
    """Neither into a path nor into a header: what is stored has a random id, and is named by its title."""
    answer = desk.send(name, PAGE, title=f"Note {name[:80]}")
    assert answer.status_code == 303
    sent = desk.ana.get(answer.headers["Location"] + "/download")
    assert sent.data == PAGE
    assert "X-Evil" not in sent.headers
    disposition = sent.headers["Content-Disposition"]
    assert re.fullmatch(r"attachment; filename=[^/\\\x00\r\n\u202e]+", disposition) and disposition.endswith('.pdf"')


# How much is sent ---------------------------------------------------------------------------------------------------


class Counted(io.RawIOBase):
    """A body without an end, and how much of it was read."""

    def __init__(self) -> None:
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.taken += len(buffer)
        buffer[:] = b"x" * len(buffer)
        return len(buffer)


def how_much_is_read(visitor: Visitor, path: str, length: int | None) -> tuple[int, int]:
    """(status, bytes read) of a form whose file never ends: of a declared length, or chunked."""
    body = Counted()
    cookies = "; ".join(f"{each.key}={each.value}" for each in visitor.client._cookies.values())
    builder = EnvironBuilder(path, visitor.base_url, method="POST", content_type="multipart/form-data; boundary=x")
    environ = builder.get_environ() | {"wsgi.input": body, "wsgi.input_terminated": length is None, "HTTP_COOKIE": cookies, "HTTP_ORIGIN": visitor.base_url}
    environ.pop("CONTENT_LENGTH", None)
    if length is not None:
        environ["CONTENT_LENGTH"] = str(length)
    _body, status, _headers = run_wsgi_app(visitor.app, environ)  # type: ignore[arg-type]
    return int(status.split()[0]), body.taken


def sent_whole(visitor: Visitor, path: str, form: dict[str, str], sent: list[tuple[str, bytes]]) -> int:
    """Status of a form with files, written here: the test client would write large ones to disk itself."""
    head = b'--x\r\nContent-Disposition: form-data; name="%s"'
    body = b"".join(head % name.encode() + b"\r\n\r\n" + value.encode() + b"\r\n" for name, value in form.items())
    body += b"".join(
        head % b"file" + b'; filename="%s"\r\n\r\n' % name.encode() + content + b"\r\n" for name, content in sent
    )
    kind = "multipart/form-data; boundary=x"
    return visitor.client.post(path, base_url=visitor.base_url, data=body + b"--x--\r\n", content_type=kind).status_code


def takes_files(app: Flask, route: route_map.Route) -> bool:
    view = app.view_functions[endpoint(app, route)]
    return hasattr(view, "most_bytes")


def endpoint(app: Flask, route: route_map.Route) -> str:
    prefix = route_map.CLINIC_IN_PATH if route.face == "admin" else ""
    found = [each for each in app.url_map.iter_rules() if each.rule == prefix + route.rule and "POST" in (each.methods or ())]
    return next(each.endpoint for each in found if route_map.SUBDOMAINS.get(each.subdomain or "") == route.face)


def check_sizes(app: Flask, ana: Visitor, maria: Visitor) -> None:
    ids = route_map.ids_of(app, demo.ELM, "Leo Lopez")
    for route in ROUTES:
        visitor, most = (ana if route.face == "admin" else maria).at(route_map.FACES[route.face]), MOST_OF_A_FORM
        if takes_files(app, route):
            most = app.view_functions[endpoint(app, route)].most_bytes  # type: ignore[attr-defined]
            assert most <= incoming_files.MOST_BYTES + MOST_OF_A_FORM, route
        assert how_much_is_read(visitor, route.path(ids), most + 1) == (413, 0), route
        if most == MOST_OF_A_FORM:
            status, taken = how_much_is_read(visitor, route.path(ids), None)
            assert status == 413 and taken <= most + 128 * 1024, route


@pytest.mark.usefixtures("stripe_standing")  # its webhook reads nothing while it is not connected
def test_what_is_too_much_is_refused_before_it_is_read(app: Flask, ana: Visitor, maria: Visitor) -> None:
    """By the length it says, without a byte; without one, by what has come. Every form, not only those with files."""
    check_sizes(app, ana, maria)


def test_only_forms_with_files_take_much(app: Flask) -> None:
    large = {str(route) for route in ROUTES if takes_files(app, route)}
    with_files = {str(route) for route in ROUTES if "=pdf" in route.form.values()}
    messages = {str(route) for route in ROUTES if route.rule.endswith("/conversations/new")}
    assert large == with_files | messages | {"admin /clinic-options/look"}


def test_an_endless_file_is_dropped_at_the_limit(desk: Desk) -> None:
    status, taken = how_much_is_read(desk.ana, desk.path, None)
    assert status == 413 and taken <= incoming_files.MOST_BYTES + 2 * MOST_OF_A_FORM


def test_a_strangers_file_is_not_held_in_memory(desk: Desk) -> None:
    stranger = Visitor(desk.app, desk.ana.base_url)
    assert how_much_is_read(stranger, desk.path, 1024 * 1024) == (413, 0)


def test_ten_thousand_files_are_too_many(desk: Desk) -> None:
    path = f"/patients/{desk.leo}/conversations/new"
    maria = Visitor(desk.app, f"http://{demo.ELM}.localhost:8000").sign_in("maria@family.example")
    form = {"csrf_token": maria.token, "subject": "Many", "text": "Many"}
    assert sent_whole(maria, path, form, [(f"{number}.pdf", b"x") for number in range(10_000)]) == 413


@pytest.mark.usefixtures("stripe_standing")  # its webhook reads nothing while it is not connected
def test_planted_one_limit_for_everything(app: Flask, ana: Visitor, maria: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """As large as a document, for a form with one word in it."""
    monkeypatch.setitem(app.config, "MAX_CONTENT_LENGTH", 21 * 1024 * 1024)
    with pytest.raises(AssertionError):
        check_sizes(app, ana, maria)


def check_nothing_is_spooled(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    spooled: list[object] = []
    monkeypatch.setattr("werkzeug.formparser.SpooledTemporaryFile", lambda **names: spooled.append(names) or io.BytesIO())
    desk.ana.get(desk.path)
    form = {"csrf_token": desk.ana.token, "title": "Large", "type_id": str(desk.type_id), "dated_on": "2024-01-31"}
    assert sent_whole(desk.ana, desk.path, form, [("a.pdf", PAGE)]) == 303
    assert spooled == []


def test_no_file_is_spooled_to_disk(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form parser would put files of half a megabyte into a temporary file, in the clear."""
    check_nothing_is_spooled(desk, monkeypatch)


def test_planted_the_form_parser_s_own_way(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.app, "request_class", Request)
    with pytest.raises(AssertionError):
        check_nothing_is_spooled(desk, monkeypatch)


# Where it lies ------------------------------------------------------------------------------------------------------


@pytest.fixture
def filed(cluster: Any, committed_app: Flask) -> Iterator[tuple[Flask, whole_database.Connection, list[UUID], UUID]]:
    """Two documents about Leo at Elm, one about Nina at Oak, each with canaries; and the whole database."""
    ids = []
    for email, slug, name in (("ana@elm.example", demo.ELM, "Leo Lopez"),) * 2 + (("ola@oak.example", demo.OAK, "Nina Lopez"),):
        visitor = Visitor(committed_app, "http://admin.localhost:8000").sign_in(email, f"/{slug}")
        known = route_map.ids_of(committed_app, slug, name)
        path = f"/{slug}/patients/{known['patient']}/documents/new"
        visitor.get(path)
        form = {"title": "Note", "type_id": str(known["type"]), "dated_on": "2024-01-31", "file": (io.BytesIO(PAGE), "a.pdf")}
        ids.append(UUID(visitor.post(path, form).headers["Location"].rpartition("/")[2]))
    leo = route_map.ids_of(committed_app, demo.ELM, "Leo Lopez")["patient"]
    with whole_database.opened(cluster, committed_app) as connection:
        yield committed_app, connection, ids, leo


def move(connection: whole_database.Connection, from_id: UUID, to_id: UUID) -> None:
    connection.execute(
        "UPDATE document_contents SET sealed = (SELECT sealed FROM document_contents WHERE document_id = %s) WHERE document_id = %s",
        (from_id, to_id),
    )


def check_moved_bytes_do_not_open(filed: tuple[Any, ...], caplog: pytest.LogCaptureFixture) -> None:
    app, connection, (first, second, oaks), leo = filed
    app.config["PROPAGATE_EXCEPTIONS"] = False
    ana = Visitor(app, "http://admin.localhost:8000").sign_in("ana@elm.example", f"/{demo.ELM}")
    path = f"/{demo.ELM}/patients/{leo}/documents/{first}/file"
    assert ana.get(path).data == PAGE
    for source in (second, oaks):
        move(connection, source, first)
        caplog.clear()
        answer = ana.get(path)
        assert answer.status_code == 500 and b"CNRY" not in answer.data
        alerts = [each.getMessage() for each in caplog.records if each.levelno >= logging.CRITICAL]
        assert len(alerts) == 1 and str(first) in alerts[0] and "seal.broken" in alerts[0]


def test_bytes_moved_to_another_document_or_clinic_do_not_open(filed: tuple[Any, ...], caplog: pytest.LogCaptureFixture) -> None:
    check_moved_bytes_do_not_open(filed, caplog)


def test_keys_moved_between_clinics_open_nothing(filed: tuple[Any, ...]) -> None:
    app, connection, (first, *_others), leo = filed
    app.config["PROPAGATE_EXCEPTIONS"] = False
    ana = Visitor(app, "http://admin.localhost:8000").sign_in("ana@elm.example", f"/{demo.ELM}")
    connection.execute(
        "UPDATE clinic_keys k SET wrapped = (SELECT wrapped FROM clinic_keys o WHERE o.clinic_id <> k.clinic_id LIMIT 1)"
    )
    answer = ana.get(f"/{demo.ELM}/patients/{leo}/documents/{first}/file")
    assert answer.status_code == 500 and b"CNRY" not in answer.data


def test_planted_a_seal_that_does_not_know_its_row(filed: tuple[Any, ...], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    app, _connection, ids, _leo = filed
    monkeypatch.setattr("tenancy.keys._about", lambda _purpose, _row_id: b"anything")
    with inside(app, demo.ELM):
        for each in ids[:2]:
            document_store.put(each, PAGE)
    with pytest.raises(AssertionError):
        check_moved_bytes_do_not_open(filed, caplog)


def check_nothing_is_readable(connection: whole_database.Connection) -> None:
    for table in [f"public.{each}" for each in whole_database.tables(connection)] + ["q.procrastinate_jobs"]:
        marks = ["%CNRY-line%", f"%{b'CNRY-line'.hex()}%"]
        found = connection.execute(f"SELECT count(*) FROM {table} t WHERE t::text LIKE ANY (%s)".encode(), (marks,))
        assert found.fetchone() == (0,), table


def test_nothing_readable_lies_in_the_database(filed: tuple[Any, ...]) -> None:
    """Of the file, not one line; in no table, also not in the queue's."""
    check_nothing_is_readable(filed[1])


def test_planted_bytes_as_they_came(filed: tuple[Any, ...]) -> None:
    filed[1].execute("UPDATE document_contents SET sealed = %s WHERE document_id = %s", (PAGE, filed[2][0]))
    with pytest.raises(AssertionError):
        check_nothing_is_readable(filed[1])
