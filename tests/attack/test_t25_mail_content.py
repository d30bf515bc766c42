"""T25: what people type into names, addresses and titles, as it arrives over a real SMTP connection.

Lost if it fails: a clinic's letter goes to a stranger beside the family (a smuggled Bcc), says something that the
clinic never wrote, or tells whoever reads it over a shoulder who is a patient and of what.
Typed into every form and put into the rows behind the forms' backs; of every kind of letter there is. Python before
3.11.10 and 3.12.5 unfolds encoded words into headers (CVE-2024-6923): `rendering.header` holds on any.
"""

import re
from collections.abc import Iterable, Iterator
from email import message_from_bytes
from email.header import decode_header, make_header
from email.utils import getaddresses
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from clinic import demo
from mail import delivery, letters, outbox, rendering
from mail.letters import KINDS, Addressee
from mail.outbox import LetterState
from tenancy.database import db
from tenancy.languages import Language
from tests.attack.test_t01_matrix import found, plant_canaries
from tests.conftest import Cluster
from tests.house import route_map, whole_database
from tests.house.route_map import ask
from tests.inside import inside
from tests.mail.sink import Arrived, Sink, sink
from tests.mail.test_delivery import deliver, serve
from tests.mail.test_letters import example
from tests.one_connection import undone

MARIA, DESK = "maria@family.example", "front-desk@elm-street.example"
NAMES = (
    "Elm\r\nBcc: evil@evil.test",
    "Elm\nBcc: evil@evil.test\n\nBuy now",
    "Elm\rBcc: evil@evil.test",
    "=?utf-8?q?Elm=0ABcc=3A_evil=40evil.test?=",
    "Elm =?utf-8?b?CkJjYzogZXZpbEBldmlsLnRlc3QKCkJ1eSBub3c=?=",
    "Elm\x0bBcc: e@evil.test",
    "Elm\x0cBcc: e@evil.test",
    "Elm\x85Bcc: e@evil.test",
    "Elm\u2028Bcc: e@evil.test\u2029",
    "Elm\x00\x1b[31m",
    'Elm" <evil@evil.test>, "x',
    "Elm <evil@evil.test>",
    "Elm, evil@evil.test",
    "<b>Elm</b><img src=//evil.test/x><script>alert(1)</script>",
    "Elm\u202egnp.exe",
    "{{ 7 * 7 }}{% raw %}${7*7}",
)
ADDRESSES = (
    'maria@family.example\r\nBcc: evil@evil.test',
    "maria@family.example\nX: y",
    '"maria"@family.example, evil@evil.test',
    "maria@family.example, evil@evil.test",
    "maria@family.example,evil@evil.test",
    "maria@family.example;evil@evil.test",
    "maria@family.example evil@evil.test",
    "Maria <maria@family.example>",
    "<maria@family.example>, <evil@evil.test>",
    "=?utf-8?q?evil=40evil.test=2C?=@family.example",
    "maria@family.example\x0b",
    "maria@family.example\u2028Bcc: evil@evil.test",
    "mar\u0131a@family.example",
    f"{'x' * 300}@family.example",
    "maria@[127.0.0.1]",
    "maria@family.example> SIZE=1",
    "|/bin/sh@family.example\x00",
    "maria%evil.test@",
    "@family.example",
)
NO_ADDRESSES = [each for each in ADDRESSES if not each.startswith("|")]  # odd, and one address without its NUL
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
NAMED = {"name", "nickname", "title", "subject", "service", "therapist", "place"}
ADDRESSED = {"email", "reply_to"}
Forms = list[tuple[route_map.Route, str]]
FORMS: Forms = [(route, name) for route in route_map.declared() for name in route.form if name in NAMED | ADDRESSED]
# What stands in every letter: the clinic's name, and where replies go.
MOST_READ = [(route, name) for route, name in FORMS if route.rule in ("/clinic-options/look", "/clinic-options/portal-settings")]
# Columns that may stand in a header, of a letter or of an answer.
HEADER_BOUND = (
    *(("clinics", "name"), ("letterheads", "reply_to"), ("contacts", "name"), ("contacts", "email"), ("patients", "name")),
    *(("portal_users", "name"), ("portal_users", "email"), ("staff_members", "name"), ("staff_members", "email")),
    *(("letters", "to_address"), ("documents", "title")),
)


@pytest.fixture
def server(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sink]:
    """The mail server of this test; Elm Street's outbox is empty."""
    with sink() as opened:
        serve(app, monkeypatch, opened.port)
        deliver(app)
        opened.arrived.clear()
        yield opened


# Typed into forms ---------------------------------------------------------------------------------------------------


def typed(app: Flask, forms: Forms) -> Iterator[tuple[str, int, str]]:
    """(what, status, page) of every payload in every field that may reach a header; undone after each."""
    route_map.prepare(app, demo.ELM)
    ids, visitors = route_map.ids_of(app, demo.ELM, "Leo Lopez"), route_map.people(app)
    for route, name in forms:
        person = "maria" if route.gate["maria"] == "in" else "ana"
        visitor = route_map.standing_at(visitors[person], route.face)
        for payload in ADDRESSES if name in ADDRESSED else NAMES:
            with undone(app):
                answer = ask(visitor.at(visitor.base_url), route, "POST", ids, data={name: payload})
                yield f"{route} {name} {payload!r}", answer.status_code, answer.text
                yield from unfit(app, f"{route} {name} {payload!r}")


def unfit(app: Flask, what: str) -> Iterator[tuple[str, int, str]]:
    """What is stored and could begin a header or name two people."""
    with inside(app, demo.ELM):
        for table, column in HEADER_BOUND:
            for value in db.session.scalars(text(f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL")):
                is_wrong = CONTROL.search(value) or (table != "documents" and "=?" in value)
                if column in ("email", "reply_to", "to_address"):
                    is_wrong = is_wrong or not re.fullmatch(r"[^\s,;<>\"@]+@[^\s,;<>\"@]+", value)
                if is_wrong:
                    yield f"{what}: {table}.{column} {value!r}", 0, ""


def check_typed(app: Flask, forms: Forms) -> None:
    wrong, refused = [], 0
    for what, status, page in typed(app, forms):
        if status == 422:
            refused += 1
            if "role=\"alert\"" not in page and "class=\"error\"" not in page:
                wrong.append(f"no sentence: {what}")
        elif status not in (303, 404):
            wrong.append(f"{status}: {what}")
    assert not wrong, "\n".join(wrong)
    assert refused > len(forms) * 4, "nothing is refused: the forms were not reached"


def test_nothing_that_could_begin_a_header_is_kept(app: Flask) -> None:
    check_typed(app, MOST_READ)


@pytest.mark.slow
def test_nor_from_any_other_form(app: Flask) -> None:
    check_typed(app, FORMS)


def test_an_address_that_is_two_is_refused_everywhere(app: Flask) -> None:
    """With a sentence at the field, and nothing is posted."""
    route_map.prepare(app, demo.ELM)
    ids, visitors = route_map.ids_of(app, demo.ELM, "Leo Lopez"), route_map.people(app)
    for route, name in FORMS:
        if name in ADDRESSED:
            person = "maria" if route.gate["maria"] == "in" else "ana"
            visitor = route_map.standing_at(visitors[person], route.face)
            with undone(app):
                answer = ask(visitor.at(visitor.base_url), route, "POST", ids, data={name: ADDRESSES[3]})
                assert answer.status_code == 422, route


def test_planted_a_name_that_nobody_checks(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clinic.names.check_name", lambda name, **_names: name)
    with pytest.raises(AssertionError):
        check_typed(app, MOST_READ[:1])


def test_an_operator_is_held_to_the_same(app: Flask) -> None:
    for name in NAMES[:9]:
        made = app.test_cli_runner().invoke(
            args=["clinics", "create", "--name", name, "--slug", "new-clinic", "--admin-email", "nora@new.example"]
        )
        assert made.exit_code != 0, (name, made.output)
    twice = app.test_cli_runner().invoke(
        args=["clinics", "create", "--name", "New", "--slug", "new-clinic", "--admin-email", ADDRESSES[3]]
    )
    assert twice.exit_code != 0, twice.output


# On the wire --------------------------------------------------------------------------------------------------------


def check_letter(arrived: Arrived, to: str, *, reply_to: str | None) -> None:
    """One recipient, one sender, one addressee, one text and one HTML body; nothing else."""
    assert arrived.envelope_to == [to]
    assert arrived.envelope_from == "no-reply@localhost.test"
    for name, many in {"From": 1, "To": 1, "Subject": 1, "Reply-To": int(reply_to is not None), "Auto-Submitted": 1, "Message-ID": 1, "Bcc": 0, "Cc": 0, "X": 0, "Sender": 0}.items():
        assert len(arrived.header_lines(name)) == many, name
    parsed = message_from_bytes(arrived.content)
    assert [address for _name, address in getaddresses(parsed.get_all("To", []))] == [to]
    assert [address for _name, address in getaddresses(parsed.get_all("From", []))] == ["no-reply@localhost.test"]
    assert [address for _name, address in getaddresses(parsed.get_all("Reply-To", []))] == ([reply_to] if reply_to else [])
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert [part.get_content_type() for part in parsed.walk()] == ["multipart/mixed", "multipart/alternative", "text/plain", "text/html"]
    assert arrived.content.split(b"\r\n\r\n", 1)[1].startswith(b"--==="), "the body begins where the headers end"


def send_every_kind(app: Flask, server: Sink, language: str = Language.ENGLISH) -> dict[str, Arrived]:
    """Kind → the letter as it arrived."""
    came = {}
    for kind in KINDS.values():
        server.arrived.clear()
        with inside(app, demo.ELM):
            outbox.post(example(kind, language))
        deliver(app)
        (came[kind.kind],) = server.arrived
    return came


def name_the_clinic(app: Flask, name: str) -> None:
    """Behind the forms' backs: an import, an older release, a hand at the database."""
    with inside(app, demo.ELM):
        db.session.execute(text("UPDATE clinics SET name = :name WHERE id = app.clinic_id()"), {"name": name.replace("\0", "")})


def check_names_on_the_wire(app: Flask, server: Sink) -> None:
    for name in NAMES:
        name_the_clinic(app, name)
        for arrived in send_every_kind(app, server).values():
            check_letter(arrived, MARIA, reply_to=DESK)
            html = message_from_bytes(arrived.content).get_payload()[0].get_payload()[1].get_payload(decode=True)  # type: ignore[union-attr, index]
            assert b"<script" not in html and b"<img" not in html


@pytest.mark.slow
def test_whatever_a_clinic_is_called_every_letter_has_one_of_each(app: Flask, server: Sink) -> None:
    check_names_on_the_wire(app, server)


def test_three_of_these_names_on_the_wire(app: Flask, server: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.NAMES", (NAMES[1], NAMES[4], NAMES[10]))
    check_names_on_the_wire(app, server)


def test_planted_headers_as_they_come(app: Flask, server: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flask-Mail's own check then sends nothing: no stranger reads the letter, and no family either."""
    monkeypatch.setattr(f"{__name__}.NAMES", (NAMES[1],))
    monkeypatch.setattr(rendering, "header", lambda said: said)
    monkeypatch.setattr(delivery, "header", lambda said: said)
    with pytest.raises((AssertionError, ValueError)):
        check_names_on_the_wire(app, server)


def check_no_address(app: Flask, server: Sink, addresses: Iterable[str]) -> None:
    with inside(app, demo.ELM):
        bad = [outbox.post(letters.AccessAdded(to=Addressee(each.replace("\0", "")))) for each in addresses]
        outbox.post(letters.AccessAdded(to=Addressee(MARIA)))
    deliver(app)
    assert [each.envelope_to for each in server.arrived] == [[MARIA]]
    with inside(app, demo.ELM):
        states = [db.session.get(outbox.OutgoingLetter, (whose(app), each)).state for each in bad]  # type: ignore[union-attr]
    assert set(states) == {LetterState.UNDELIVERED}, list(zip(addresses, states, strict=True))


def test_an_address_that_is_not_one_is_sent_nowhere(app: Flask, server: Sink) -> None:
    """As it could lie in a row: not to the first of two, not to the second, and nobody behind it waits."""
    check_no_address(app, server, NO_ADDRESSES)


def whose(app: Flask) -> Any:
    return db.session.scalars(text("SELECT app.clinic_id()")).one()


def test_an_address_in_another_script_is_written_as_servers_read_it(app: Flask, server: Sink) -> None:
    """Müller's own domain: the letter arrives, at exactly that address."""
    with inside(app, demo.ELM):
        outbox.post(letters.AccessAdded(to=Addressee("maria@müller.example")))
    deliver(app)
    check_letter(server.arrived[0], "maria@xn--mller-kva.example", reply_to=DESK)


def test_planted_whatever_stands_in_the_row_is_the_address(app: Flask, server: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_one_address", lambda address: address)
    with pytest.raises(AssertionError):
        check_no_address(app, server, ADDRESSES[3:4])


@pytest.mark.parametrize("language", list(Language))
def test_replies_go_to_the_clinic_s_confirmed_address_or_to_nobody(app: Flask, server: Sink, language: Language) -> None:
    for arrived in send_every_kind(app, server, language).values():
        check_letter(arrived, MARIA, reply_to=DESK)
        ((name, _address),) = getaddresses(message_from_bytes(arrived.content).get_all("From", []))
        assert str(make_header(decode_header(name))) == "Elm Street Therapy"
    with inside(app, demo.ELM):
        db.session.execute(text("UPDATE letterheads SET confirmed_at = NULL, reply_to = 'evil@evil.test'"))
    for arrived in send_every_kind(app, server, language).values():
        check_letter(arrived, MARIA, reply_to=None)
        assert b"evil.test" not in arrived.content


def check_canaries(cluster: Cluster, app: Flask, monkeypatch: pytest.MonkeyPatch, *planted: str) -> None:
    with sink() as server, whole_database.opened(cluster, app) as connection:
        serve(app, monkeypatch, server.port)
        for slug in (demo.ELM, demo.OAK):
            route_map.write_each_other(app, slug)
            deliver(app, slug)
        plant_canaries(connection)
        whole_database.plant(connection, *planted)
        for language in Language:
            for kind, arrived in send_every_kind(app, server, language).items():
                said = f"{arrived.message['Subject']} {arrived.message['From']} {arrived.message.as_string()}"
                bodies = " ".join(str(part.get_content()) for part in arrived.message.walk() if not part.is_multipart())
                assert found(said + bodies, demo.ELM) <= {"clinics-name", "letterheads-reply_to"}, kind
                assert found(said + bodies, demo.OAK) == set(), kind
                assert "clinics-name" in found(said + bodies, demo.ELM), "the canaries are there to be seen"


def test_no_letter_says_more_than_the_clinic_s_name(cluster: Cluster, committed_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """No patient, no contact, no title, no amount, no service, no message: whatever the kind."""
    check_canaries(cluster, committed_app, monkeypatch)


def test_planted_a_letter_that_names_the_patient(cluster: Cluster, committed_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    page = rendering.page

    def telling(kind: str, values: dict[str, Any], **more: Any) -> rendering.Page:
        made = page(kind, values, **more)
        return rendering.Page(f"{made.subject} about CNRY-elm-street-patients-name-1", made.text, made.html, made.reply_to)

    monkeypatch.setattr(rendering, "page", telling)
    with pytest.raises(AssertionError):
        check_canaries(cluster, committed_app, monkeypatch)
