"""T19: fetching documents' and messages' files: by parts, by tricks of the path, after the access has ended.

Lost if it fails: a report is read past the desk that records who looked, is kept by a shared computer, runs in the
family's browser, or goes on arriving after the clinic has ended somebody's access.
Only an authorised answer of the application has bytes; there is no folder of files, so `/_protected/` is nothing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select, text
from werkzeug.test import TestResponse, run_wsgi_app

from clinic import demo, demo_papers, documents, incoming_files
from clinic.audit import AuditEntry
from clinic.documents import DocumentDetails
from clinic.incoming_files import take
from tenancy import clock
from tenancy.database import db
from tests.house import route_map
from tests.inside import acting, inside, patient
from tests.visitor import Visitor
from ui import file_answers

PAGE = demo_papers.pdf("A report", ["Leo holds the pencil well."])
TITLE = 'Bericht über "Leo"; ../x\u202e — отчёт'


@dataclass
class File:
    """A file at its address, and who asks for it."""

    asker: Visitor
    path: str
    content: bytes

    def get(self, **headers: str) -> TestResponse:
        return self.asker.get(self.path, headers={name.replace("_", "-"): value for name, value in headers.items()})


@dataclass
class Files:
    app: Flask
    ana: Visitor
    maria: Visitor
    leo: UUID
    document: UUID
    kept: list[File]

    @property
    def family_file(self) -> File:
        return File(self.maria, f"/patients/{self.leo}/documents/{self.document}/file", PAGE)


@pytest.fixture
def files(app: Flask, ana: Visitor, maria: Visitor) -> Files:
    """A document of a hostile title and a message's file, as the desk and the family find them."""
    route_map.prepare(app, demo.ELM)
    ids = route_map.ids_of(app, demo.ELM, "Leo Lopez")
    with inside(app, demo.ELM) as clinic, acting("ana@elm.example"):
        leo = patient("Leo Lopez").id
        details = DocumentDetails(TITLE, ids["type"], clock.today(clinic.time_zone))
        document = documents.add(leo, details, take("a.pdf", PAGE)).id
        documents.sign(document)
        attached = demo_papers.pdf("A page", [])
    page = f"/patients/{leo}/documents/{document}"
    message = f"/conversations/{ids['conversation']}/attachments/{ids['attachment']}"
    kept = [
        *(File(ana, f"/{demo.ELM}{page}/{way}", PAGE) for way in ("file", "download")),
        *(File(maria, f"{page}/{way}", PAGE) for way in ("file", "download")),
        File(ana, f"/{demo.ELM}{message}", attached),
        File(maria, f"/patients/{leo}{message}", attached),
    ]
    return Files(app, ana, maria, leo, document, kept)


# What an answer wears -----------------------------------------------------------------------------------------------


def check_clothes(answer: TestResponse, what: str) -> None:
    assert answer.headers["Cache-Control"] == "private, no-store", what
    assert answer.headers["X-Content-Type-Options"] == "nosniff", what
    assert answer.headers["Content-Type"] == "application/pdf", what
    policy = [each.strip() for each in answer.headers["Content-Security-Policy"].split(";")]
    assert {"sandbox", "default-src 'none'", "frame-ancestors 'none'"} <= set(policy), what
    assert not [each for each in policy if each.startswith("script-src")], what
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith("inline;" if what.endswith("/file") else "attachment;"), what
    assert re.fullmatch(r"[\x20-\x7e]+", disposition) and "/x" not in disposition and "%2F" not in disposition


def check_all_clothes(files: Files) -> None:
    for file in files.kept:
        for answer in (file.get(), file.get(Range="bytes=0-9"), file.asker.head(file.path)):
            check_clothes(answer, file.path)


def test_a_file_is_kept_by_nobody_and_can_do_nothing(files: Files) -> None:
    check_all_clothes(files)
    name = files.kept[1].get().headers["Content-Disposition"]
    assert "filename*=UTF-8''Bericht%20%C3%BCber%20-Leo-%3B%20..-x%20%E2%80%94%20" in name, name
    assert "%E2%80%AE" not in name, "a mark that turns the writing round"


def test_planted_a_file_that_a_shared_computer_keeps(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    of = file_answers.of

    def kept(*args: Any, **names: Any) -> Any:
        answer = of(*args, **names)
        answer.headers["Cache-Control"] = "private, no-store, max-age=600"
        return answer

    monkeypatch.setattr(file_answers, "of", kept)
    with pytest.raises(AssertionError):
        check_all_clothes(files)


# Parts --------------------------------------------------------------------------------------------------------------

LENGTH = len(PAGE)
PARTS = {
    "bytes=0-0": (206, PAGE[:1], f"bytes 0-0/{LENGTH}"),
    "bytes=5-": (206, PAGE[5:], f"bytes 5-{LENGTH - 1}/{LENGTH}"),
    "bytes=-7": (206, PAGE[-7:], f"bytes {LENGTH - 7}-{LENGTH - 1}/{LENGTH}"),
    f"bytes=10-{LENGTH * 2}": (206, PAGE[10:], f"bytes 10-{LENGTH - 1}/{LENGTH}"),
    f"bytes={LENGTH}-": (416, None, f"bytes */{LENGTH}"),
    "bytes=99999999999-": (416, None, f"bytes */{LENGTH}"),
    "bytes=5-2": (416, None, f"bytes */{LENGTH}"),
    "bytes=0-1,5-6": (200, PAGE, None),
    "bytes=" + ",".join(f"{each}-{each}" for each in range(1000)): (200, PAGE, None),
    "bytes=0-" + "9" * 5000: (200, PAGE, None),
    "items=0-1": (200, PAGE, None),
    "bytes=a-b": (200, PAGE, None),
    "bytes=-": (200, PAGE, None),
}


def test_a_part_is_the_right_part(files: Files) -> None:
    for file in files.kept[:4]:
        for asked, (status, content, place) in PARTS.items():
            answer = file.get(Range=asked)
            assert (answer.status_code, answer.headers.get("Content-Range")) == (status, place), (file.path, asked[:40])
            if content is None:
                assert b"%PDF" not in answer.data and "That part is not there" in answer.text
            else:
                assert answer.data == content and answer.content_length == len(content)


def test_a_download_goes_on_only_with_the_same_file(files: Files) -> None:
    """Half of one report and half of another would be a third that nobody wrote."""
    file = files.family_file
    etag = file.get().headers["ETag"]
    assert not etag.startswith("W/")
    assert file.get(Range="bytes=5-", If_Range=etag).status_code == 206
    for other in ('"another"', "Wed, 21 Oct 2015 07:28:00 GMT"):
        assert (answer := file.get(Range="bytes=5-", If_Range=other)).status_code == 200, other
        assert answer.data == PAGE


def test_a_head_says_how_long_and_no_more(files: Files) -> None:
    for file in files.kept:
        answer = file.asker.head(file.path)
        assert (answer.status_code, answer.data, answer.content_length) == (200, b"", len(file.content))


# Who looked ---------------------------------------------------------------------------------------------------------


def looks(files: Files) -> int:
    with inside(files.app, demo.ELM):
        return len(
            db.session.scalars(
                select(AuditEntry.id).where(AuditEntry.event == "document.opened", AuditEntry.subject_id == files.document)
            ).all()
        )


def check_every_way_is_recorded(files: Files) -> None:
    for number, file in enumerate(files.kept[:4]):
        for answer in (file.get(), file.get(Range="bytes=0-9"), file.asker.head(file.path)):
            assert answer.status_code in (200, 206), number
    assert looks(files) == 2, "once for each of the two, however often a browser fetches"
    with inside(files.app, demo.ELM):
        seen = db.session.execute(
            select(AuditEntry.actor_kind).where(AuditEntry.event == "document.opened", AuditEntry.subject_id == files.document)
        ).scalars()
        assert set(seen) == {"staff", "portal_user"}


@pytest.mark.parametrize("how", ["whole", "part", "head"])
def test_a_look_is_recorded_however_it_is_taken(files: Files, how: str) -> None:
    file = files.family_file
    if how == "head":
        file.asker.head(file.path)
    else:
        file.get(**({"Range": "bytes=0-9"} if how == "part" else {}))
    assert looks(files) == 1


def test_looks_of_the_desk_and_of_the_family_are_told_apart(files: Files) -> None:
    check_every_way_is_recorded(files)


def test_planted_a_look_that_nobody_records(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    for page in ("admin.document_file", "admin.document_download", "portal.document_file", "portal.document_download"):
        monkeypatch.delattr(files.app.view_functions[page], "shows")
    with pytest.raises(AssertionError):
        check_every_way_is_recorded(files)


# Round the door -----------------------------------------------------------------------------------------------------


def raw(visitor: Visitor, path: str, **headers: str) -> tuple[int, bytes]:
    """A path as it came over the wire, after the server has unquoted it."""
    cookies = "; ".join(f"{each.key}={each.value}" for each in visitor.client._cookies.values())
    environ = visitor.client.get("/", base_url=visitor.base_url).request.environ
    asked = {each: environ[each] for each in environ if not each.startswith(("werkzeug.", "portico.", "flask."))}
    body, status, _headers = run_wsgi_app(
        visitor.app, asked | {"PATH_INFO": path, "REQUEST_URI": path, "HTTP_COOKIE": cookies, **headers}  # type: ignore[arg-type]
    )
    return int(status.split()[0]), b"".join(body)


def tricks(files: Files) -> Iterator[str]:
    path = files.family_file.path
    yield from ("/_protected/", f"/_protected{path}", f"/_protected/{files.document}", "/static/../documents", "/../../etc/passwd")
    yield from (f"{path}.css", f"{path}/x.css", f"{path};.css", f"{path}\x00", f"{path}\x00.css", f"{path}%00")
    yield from (f"{path}/", f"{path}\\", path.replace("/documents/", "\\documents\\"), path.replace("/documents/", "/documents/..;/"))
    yield from (path.replace("/documents/", "/documents/../documents/"), path.replace("/documents/", "/%2e%2e/documents/"))
    yield from (path.replace("/documents/", "/documents/./"), f"{path}\r\nX: y", f"{path}\u2025", f"{path.upper()}")


def check_no_way_round(files: Files) -> None:
    assert raw(files.maria, files.family_file.path) == (200, PAGE), "the way itself is open"
    for path in tricks(files):
        status, body = raw(files.maria, path.encode().decode("latin-1"))
        assert (status, b"%PDF" in body) == (404, False), (path, status)


def test_no_trick_of_the_path_leads_to_a_file(files: Files) -> None:
    check_no_way_round(files)
    anyone = Visitor(files.app, files.maria.base_url)
    for path in tricks(files):
        status, body = raw(anyone, path.encode().decode("latin-1"))
        assert status in (303, 404) and b"%PDF" not in body, path


def test_no_header_leads_to_a_file(files: Files) -> None:
    """Headers that a proxy might have set, sent by a client."""
    stranger = Visitor(files.app, files.maria.base_url)
    path = files.family_file.path
    for header in ("X-Accel-Redirect", "X-Sendfile", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix"):
        assert stranger.get("/sign-in", headers={header: path}).data[:5] != b"%PDF-", header
        assert stranger.get(path, headers={header: path}).status_code == 303, header
        answer = files.maria.get("/", headers={header: path})
        assert answer.mimetype == "text/html" and header not in answer.headers


def test_planted_an_address_that_ends_as_one_likes(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache in front keeps whatever ends in .css."""
    serve = files.app.wsgi_app

    def obliging(environ: Any, start_response: Any) -> Any:
        return serve(environ | {"PATH_INFO": environ["PATH_INFO"].removesuffix(".css")}, start_response)

    monkeypatch.setattr(files.app, "wsgi_app", obliging)
    with pytest.raises(AssertionError):
        check_no_way_round(files)


# Ended --------------------------------------------------------------------------------------------------------------


def check_ends_between_two_parts(files: Files) -> None:
    file = files.family_file
    assert file.get(Range="bytes=0-99").status_code == 206
    etag = file.get().headers["ETag"]
    with inside(files.app, demo.ELM):
        db.session.execute(text("UPDATE portal_access SET ended_at = now(), ended_reason = 'other'"))
    for answer in (file.get(Range="bytes=100-", If_Range=etag), file.get(If_None_Match=etag), file.asker.head(file.path)):
        assert answer.status_code == 404 and b"%PDF" not in answer.data and "ETag" not in answer.headers


def test_an_access_that_ends_between_two_parts_ends_the_download(files: Files) -> None:
    check_ends_between_two_parts(files)


@pytest.mark.parametrize("way", ["held back", "hidden type", "another user"])
def test_so_does_every_other_ending(files: Files, omar: Visitor, way: str) -> None:
    file = files.family_file
    etag = file.get(Range="bytes=0-9").headers["ETag"]
    if way == "held back":
        with inside(files.app, demo.ELM), acting("ana@elm.example"):
            documents.hold_back(files.document, "Parents ask to talk first")
    elif way == "hidden type":
        with inside(files.app, demo.ELM):
            db.session.execute(text("UPDATE document_types SET is_visible_on_portal = false"))
    else:
        file = File(omar, file.path, PAGE)
    assert file.get(Range="bytes=10-", If_Range=etag).status_code == 404
    assert file.get(If_None_Match=etag).status_code == 404


def test_planted_an_answer_kept_by_its_tag(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever had the file once is answered from a memory of it."""
    view, kept = files.app.view_functions["portal.document_file"], {}

    def remembered(**ids: Any) -> Any:
        from_memory = kept.get(str(ids))
        if from_memory:
            return file_answers.of(from_memory, incoming_files.PDF, "a.pdf", to_keep=False)
        answer = view(**ids)
        kept[str(ids)] = PAGE
        return answer

    monkeypatch.setitem(files.app.view_functions, "portal.document_file", remembered)
    with pytest.raises(AssertionError):
        check_ends_between_two_parts(files)
