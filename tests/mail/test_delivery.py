"""A real mail server takes the letters.

Lost if it fails: replies go to a stranger, a family gets a letter twice or never, a bounced invitation looks as if it
had arrived, or somebody puts words of their own into the clinic's mail.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.header import decode_header, make_header
from email.utils import getaddresses
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select, text

from clinic import appearance, demo, front_door, portal_settings, portal_users
from clinic.portal_settings import SettingsDetails
from clinic.portal_users import PortalUserState
from mail import delivery, letterhead, letters, outbox, rendering, worker
from mail.delivery import Envelope, TemporaryFault
from mail.outbox import LetterState, OutgoingLetter
from mail.rendering import Page
from tenancy import clinics, clock, jobs, tenant
from tenancy.database import db
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.inside import inside, send_link, user
from tests.mail.sink import Sink, free_port, hung_server, sink
from tests.mail.test_letters import PAYLOADS

MARIA = "maria@family.example"


@pytest.fixture
def server(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sink]:
    """The mail server of this test; Elm Street's outbox is empty."""
    with sink() as opened:
        serve(app, monkeypatch, opened.port)
        deliver(app)
        opened.arrived.clear()
        yield opened


def serve(app: Flask, monkeypatch: pytest.MonkeyPatch, port: int, security: str = "none") -> None:
    known = replace(app.config["PORTICO"], mail_port=port, mail_security=security)
    monkeypatch.setitem(app.config, "PORTICO", known)


def deliver(app: Flask, slug: str = demo.ELM, *, later: timedelta = timedelta(0)) -> None:
    """What the worker does for one clinic."""
    with inside(app, slug) as clinic:
        pass
    with app.app_context(), clinics.open_clinic(clinic, Role.MAILER), clock.moved(later):
        worker.deliver()


def post(app: Flask, to: str = MARIA) -> None:
    with inside(app, demo.ELM):
        outbox.post(letters.AccessAdded(to=letters.Addressee(to)))


def newest(app: Flask) -> OutgoingLetter:
    with inside(app, demo.ELM):
        return db.session.scalars(select(OutgoingLetter).order_by(OutgoingLetter.posted_at.desc()).limit(1)).one()


def state_of(app: Flask, email: str) -> str:
    with inside(app, demo.ELM):
        return portal_users.row_of(user(email).id).state


# One letter -----------------------------------------------------------------------------------------------------------


def test_a_letter_arrives_as_text_and_html_from_the_platform_to_one_person(app: Flask, server: Sink) -> None:
    post(app)
    deliver(app)
    (arrived,) = server.arrived
    message = arrived.message
    assert arrived.envelope_to == [MARIA]
    assert arrived.envelope_from == "no-reply@localhost.test"
    assert message["From"].addresses[0].addr_spec == "no-reply@localhost.test"
    assert message["From"].addresses[0].display_name == "Elm Street Therapy"
    assert message["To"] == MARIA
    assert message["Auto-Submitted"] == "auto-generated"
    assert [part.get_content_type() for part in message.walk()][-3:] == ["multipart/alternative", "text/plain", "text/html"]
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain and html
    assert "http://elm-street.localhost:8000/" in plain.get_content()
    assert "http://elm-street.localhost:8000/" in html.get_content()
    assert newest(app).state == LetterState.SENT


def test_the_mailed_link_is_the_one_that_works(app: Flask, server: Sink) -> None:
    """The worker makes the secret anew; were it another one, every invitation would be a dead end."""
    secret = send_link(app, demo.ELM, Purpose.INVITATION)
    deliver(app)
    body = server.arrived[0].message.get_body(("plain",))
    assert body and f"http://elm-street.localhost:8000/link/invitation/{secret}" in body.get_content()


def test_replies_go_to_the_clinics_address_only_once_it_is_confirmed(app: Flask, server: Sink) -> None:
    """A mistyped reply-to would send families' answers, full of health facts, to a stranger."""
    def reply_to_now() -> str | None:
        post(app)
        deliver(app)
        return server.arrived[-1].message["Reply-To"]

    assert reply_to_now() == "front-desk@elm-street.example"
    with inside(app, demo.ELM):
        portal_settings.save(SettingsDetails(demo.ELM, "typo@elm-street.example"))
    assert reply_to_now() is None
    with inside(app, demo.ELM):
        letterhead.confirm()
    assert reply_to_now() == "typo@elm-street.example"
    with inside(app, demo.ELM):
        portal_settings.save(SettingsDetails(demo.ELM, ""))
    assert reply_to_now() is None


# Faults -----------------------------------------------------------------------------------------------------------


def test_a_refused_address_is_shown_as_undelivered_and_not_tried_again(app: Flask, server: Sink) -> None:
    """The clinic sees that Grace never got her invitation, and can ask her for the right address."""
    send_link(app, demo.ELM, Purpose.INVITATION)
    server.to_rcpt = ["550 5.1.1 grace@family.example: no such user"]
    assert state_of(app, "grace@family.example") == PortalUserState.INVITED
    deliver(app)
    assert state_of(app, "grace@family.example") == PortalUserState.UNDELIVERED
    assert newest(app).fault == "550"  # the code only: the server's words may hold an address
    deliver(app, later=timedelta(days=1))
    assert server.arrived == []


@pytest.mark.parametrize("answer", ["421 4.3.2 closing", "450 4.2.1 try later", "451 4.7.1 greylisted", "452 4.2.2 full"])
@pytest.mark.parametrize("where", ["to_rcpt", "to_data"])
def test_a_busy_server_is_asked_again_later_with_the_same_message_id(
    app: Flask, server: Sink, answer: str, where: str
) -> None:
    post(app)
    setattr(server, where, [answer])
    deliver(app)
    waiting = newest(app)
    assert (waiting.state, waiting.tries) == (LetterState.WAITING, 1)
    tried = len(server.arrived)
    deliver(app)
    assert len(server.arrived) == tried  # not before its time
    deliver(app, later=timedelta(minutes=1, seconds=5))
    assert newest(app).state == LetterState.SENT
    assert {each.message_id for each in server.arrived} == {f"<{waiting.id}@localhost>"}


def test_a_letter_whose_receipt_was_lost_comes_again_under_the_same_message_id(app: Flask, server: Sink) -> None:
    """It may arrive twice; the family's mail program shows it once."""
    post(app)
    server.drops_after_data = 1
    deliver(app)
    assert newest(app).state == LetterState.WAITING
    deliver(app, later=timedelta(minutes=2))
    assert newest(app).state == LetterState.SENT
    assert len(server.arrived) == 2
    assert len({each.message_id for each in server.arrived}) == 1
    assert server.arrived[0].message.get_body().get_content() == server.arrived[1].message.get_body().get_content()  # type: ignore[union-attr]


def test_one_poisoned_letter_holds_up_nobody(app: Flask, server: Sink) -> None:
    for name in ("a", "b", "c"):
        post(app, f"{name}@family.example")
    server.to_rcpt = ["250 OK", "550 no", "250 OK"]
    deliver(app)
    assert len(server.arrived) == 2
    assert {each.envelope_to[0] for each in server.arrived} < {f"{name}@family.example" for name in "abc"}


def test_a_letter_that_cannot_be_written_holds_up_nobody(app: Flask, server: Sink) -> None:
    """A row of a kind that this release does not know must not stop the invitations behind it."""
    post(app)
    with inside(app, demo.ELM):
        db.session.execute(text("UPDATE letters SET ids = '{\"link_id\": \"no uuid\"}', kind = 'portal_invitation' WHERE state = 'waiting'"))
    with clock.moved(timedelta(seconds=1)):
        post(app, "second@family.example")
    deliver(app, later=timedelta(seconds=2))
    assert [each.envelope_to for each in server.arrived] == [["second@family.example"]]


def test_a_hung_server_costs_a_time_out_and_no_letter(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT_SECONDS", 0.3)
    with hung_server() as port:
        serve(app, monkeypatch, port)
        post(app)
        deliver(app)
    assert (newest(app).state, newest(app).tries) == (LetterState.WAITING, 1)
    with sink() as server:
        serve(app, monkeypatch, server.port)
        deliver(app, later=timedelta(minutes=2))
        assert MARIA in [each.envelope_to[0] for each in server.arrived]


def test_a_server_that_is_down_costs_no_letter_either(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(app, monkeypatch, free_port())
    post(app)
    deliver(app)
    assert (newest(app).state, newest(app).fault) == (LetterState.WAITING, "ConnectionRefusedError")


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_letter_never_goes_in_the_clear_where_encryption_was_asked_for(
    app: Flask, server: Sink, monkeypatch: pytest.MonkeyPatch, security: str
) -> None:
    """Somebody in between who takes STARTTLS out of the conversation gets no secret link to read."""
    monkeypatch.setattr(delivery, "TIMEOUT_SECONDS", 1)
    serve(app, monkeypatch, server.port, security)
    post(app)
    deliver(app)
    assert server.arrived == []
    assert newest(app).state == LetterState.WAITING


# What others try to write into it -------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_name_or_subject_adds_a_header_or_a_recipient(app: Flask, server: Sink, payload: str) -> None:
    with app.app_context():
        page = Page(rendering.header(payload), "text\n", "<p>html</p>", None)
        with delivery.connection() as opened:
            delivery.send(opened, page, Envelope(MARIA, payload, "<1@localhost>"))
    (arrived,) = server.arrived
    assert arrived.envelope_to == [MARIA]
    for name in ("From", "To", "Subject", "Message-ID", "Date"):
        assert len(arrived.header_lines(name)) == 1, name
    for name in ("Bcc", "Cc", "X", "Reply-To"):
        assert arrived.header_lines(name) == [], name
        assert arrived.message[name] is None, name
    assert len(getaddresses([str(arrived.message["From"])])) == 1
    assert arrived.message["From"].addresses[0].addr_spec == "no-reply@localhost.test"
    assert b"Buy now" not in arrived.content.split(b"\r\n\r\n", 1)[1]


@pytest.mark.parametrize("name", ["Smith, Jones & Co.", 'Dr. "Bob" Núñez', "Ergotherapie Öresund " * 4, "O'Neil (Kids)"])
def test_a_clinics_own_name_arrives_as_it_is(app: Flask, server: Sink, name: str) -> None:
    """A comma in its name must not make a clinic's letters bounce."""
    with inside(app, demo.ELM):
        appearance.change(name=name[:80], accent="#1f6f6b")
    post(app)
    deliver(app)
    ((shown, address),) = getaddresses([message_from_bytes(server.arrived[0].content)["From"]])
    assert address == "no-reply@localhost.test"
    assert str(make_header(decode_header(shown))) == name[:80].strip()


@pytest.mark.parametrize("address", ["a@b.example\r\nBcc: evil@evil.test", "a@b.example\nX: y"])
def test_an_address_with_a_line_break_is_sent_nowhere(app: Flask, server: Sink, address: str) -> None:
    post(app, address)
    deliver(app)
    assert server.arrived == []
    assert newest(app).state == LetterState.UNDELIVERED


# The jobs -----------------------------------------------------------------------------------------------------------


def test_one_clinics_failure_does_not_stop_the_others_letters(
    app: Flask, server: Sink
) -> None:
    def fails_at_the_first() -> None:
        visited.append(tenant.current_clinic_id())
        if len(visited) == 1:
            raise ZeroDivisionError
        worker.deliver()

    visited: list[UUID] = []
    with inside(app, demo.OAK):
        outbox.post(letters.AccessAdded(to=letters.Addressee(MARIA)))
    with app.app_context():
        jobs.walk_clinics(fails_at_the_first, Role.MAILER)
    assert len(visited) == 2
    assert MARIA in [each.envelope_to[0] for each in server.arrived]


def test_the_front_door_writes_to_the_address_that_was_typed(app: Flask, server: Sink) -> None:
    with app.app_context():
        sealed = front_door.keys.seal_for_platform(MARIA.encode(), purpose=front_door.PURPOSE)
        argument = front_door.base64.b64encode(sealed).decode()
        front_door.find(sealed=argument)
        server.to_data = ["451 later"]
        with pytest.raises(TemporaryFault):
            front_door.find(sealed=argument)
        server.to_rcpt = ["550 no such user"]
        front_door.find(sealed=argument)  # nobody to tell, and no endless retry
    assert {each.message_id for each in server.arrived} == {server.arrived[0].message_id}
    body = server.arrived[0].message.get_body(("plain",))
    assert body and "http://elm-street.localhost:8000/" in body.get_content() and "http://oak-hill.localhost:8000/" in body.get_content()
