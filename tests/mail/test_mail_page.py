"""The demo's post office: letters arrive over SMTP, are kept, and are shown without being let loose."""

import smtplib
import socket
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pyotp
import pytest
from aiosmtpd.controller import Controller
from flask.testing import FlaskClient

from mail.mail_page import Mailbox, create_page
from tenancy import clock


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    return Mailbox(tmp_path / "letters")


@pytest.fixture
def smtp_port(mailbox: Mailbox) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    post_office = Controller(mailbox, hostname="127.0.0.1", port=port)
    post_office.start()
    yield port
    post_office.stop()


@pytest.fixture
def page(mailbox: Mailbox) -> FlaskClient:
    return create_page(mailbox).test_client()


def letter(subject: str, text: str, html: str = "") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "no-reply@localhost.test", "maria@example.test", subject
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    return message


def test_letters_arrive_and_are_shown_newest_first(smtp_port: int, mailbox: Mailbox, page: FlaskClient) -> None:
    with smtplib.SMTP("127.0.0.1", smtp_port, timeout=5) as connection:
        connection.send_message(letter("First", "one"))
        connection.send_message(letter("Zweiter Gruß", "two"))
    shown = page.get("/").text
    assert shown.index("Zweiter Gruß") < shown.index("First")
    assert "maria@example.test" in shown
    assert all(path.stat().st_mode & 0o077 == 0 for path in [mailbox.folder, *mailbox.folder.iterdir()])


def test_an_empty_box_says_so(page: FlaskClient) -> None:
    assert "No letter has arrived yet" in page.get("/").text


def test_everything_in_a_letter_is_escaped_and_its_links_can_be_followed(mailbox: Mailbox, page: FlaskClient) -> None:
    text = "Open http://elm-street.localhost:8000/invitations/a?b=1&c=2 now <script>alert(1)</script>"
    mailbox.keep(bytes(letter("<b>Hello</b>", text, "<script>alert(2)</script><p>Hello</p>")))
    (kept,) = mailbox.newest_first()
    shown = page.get(f"/letters/{kept.name}").text
    assert "<script" not in shown
    assert "<b>Hello" not in shown
    assert '<a href="http://elm-street.localhost:8000/invitations/a?b=1&amp;c=2"' in shown
    assert "<b>Hello" not in page.get("/").text


def test_the_html_of_a_letter_runs_nothing_and_fetches_nothing(mailbox: Mailbox, page: FlaskClient) -> None:
    mailbox.keep(bytes(letter("Hello", "text", "<p>Rich</p>")))
    (kept,) = mailbox.newest_first()
    answer = page.get(f"/letters/{kept.name}/html")
    assert "<p>Rich</p>" in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "allow-scripts" not in policy
    assert page.get(f"/letters/{kept.name}/source").mimetype == "text/plain"


@pytest.mark.parametrize("name", ["20260101T000000.000000-00000000", "..", "%2e%2e%2fsecrets.json", "x.eml"])
def test_only_letters_are_handed_out(mailbox: Mailbox, page: FlaskClient, name: str) -> None:
    (mailbox.folder.parent / "secrets.json.eml").write_text("{}")
    assert page.get(f"/letters/{name}/source").status_code == 404


def test_another_name_pointed_at_this_machine_gets_nothing(page: FlaskClient) -> None:
    assert page.get("/", headers={"Host": "elsewhere.example"}).status_code == 400


def test_a_newcomer_finds_the_demo_staffs_code_beside_the_letters(mailbox: Mailbox, page: FlaskClient) -> None:
    """Without it nobody gets past the code's page of the demo."""
    secret = pyotp.random_base32()
    shows = create_page(mailbox, secret).test_client()
    assert 'src="/sign-in-code"' in shows.get("/").text
    box = shows.get("/sign-in-code")
    code = pyotp.TOTP(secret).at(int(clock.now().timestamp()))
    assert f"{code[:3]} {code[3:]}" in box.text and 'http-equiv="refresh"' in box.text
    assert "script" not in box.headers["Content-Security-Policy"] and secret not in box.text
    assert page.get("/sign-in-code").status_code == 404 and "/sign-in-code" not in page.get("/").text
