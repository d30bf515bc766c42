"""T12, second half: one of twenty wins, a secret is nobody else's, and it lies nowhere but in the letter.

Lost if it fails: two people hold one family's sign-in, a link of one clinic opens another's, or a copy of the database
(a backup, a log, a screenshot of the address bar) is enough to become somebody's parent.
"""

import hashlib
import time
from base64 import urlsafe_b64decode
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import psycopg
import pytest
from flask import Flask, render_template_string
from psycopg import sql

from clinic import audit, demo, mailed_links, portal_users
from clinic.actors import Holder
from clinic.mailed_links import MailedLink
from portal_app import guards
from tenancy import keys, link_tokens
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.attack.test_t12_token_life import (
    BOTH,
    ELM_HOST,
    FORM,
    NEW_PASSWORD,
    OAK_HOST,
    check_opens_nothing,
    page_of,
    use,
    visitor,
    worked,
)
from tests.inside import inside, newest_link, path_of, send_link, user
from tests.visitor import Visitor, compared
from ui.doors import open_page

TWENTY = 20
Administrator = psycopg.Connection[tuple[object, ...]]



# Twenty at once ---------------------------------------------------------------------------------------------------


def check_one_of_twenty_wins(app: Flask, purpose: Purpose) -> None:
    path = path_of(demo.ELM, purpose, send_link(app, demo.ELM, purpose))
    people = [visitor(app, purpose) for _each in range(TWENTY)]
    for person in people:
        person.get(path)
        person.get(page_of(purpose))
    start = Barrier(TWENTY)

    def press(number: int) -> tuple[int, str]:
        start.wait()
        answer = people[number].post(page_of(purpose), FORM | {"password": f"{NEW_PASSWORD} {number}"})
        return answer.status_code, answer.text

    with ThreadPoolExecutor(TWENTY) as pool:
        answers = list(pool.map(press, range(TWENTY)))
    losers = [body for status, body in answers if status == 410]
    assert sorted(status for status, _body in answers) == [303] + [410] * (TWENTY - 1)
    assert len({compared(body) for body in losers}) == 1
    assert "This link was used already" in losers[0]
    winner = next(number for number, (status, _body) in enumerate(answers) if status == 303)
    let_in = [
        number for number in range(0, TWENTY, 3)
        if _may_sign_in(app, "grace" if purpose is Purpose.INVITATION else "maria", f"{NEW_PASSWORD} {number}")
    ]  # fmt: skip
    assert set(let_in) <= {winner}


def _may_sign_in(app: Flask, who: str, password: str) -> bool:
    person = Visitor(app, ELM_HOST)
    person.get("/sign-in")
    return person.post("/sign-in", {"email": f"{who}@family.example", "password": password}).status_code == 303


@pytest.mark.parametrize("purpose", BOTH)
def test_one_of_twenty_wins_and_the_others_read_one_page(committed_app: Flask, purpose: Purpose) -> None:
    check_one_of_twenty_wins(committed_app, purpose)


def test_planted_a_link_read_without_its_lock(committed_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def unlocked(link: MailedLink) -> MailedLink:
        time.sleep(0.3)
        return link

    monkeypatch.setattr(mailed_links, "lock", unlocked)
    get = portal_users.get
    monkeypatch.setattr(portal_users, "get", lambda who, *, lock=False: get(who))
    committed_app.config["PROPAGATE_EXCEPTIONS"] = False  # two winners leave two passwords, and that breaks later pages
    with pytest.raises(AssertionError):
        check_one_of_twenty_wins(committed_app, Purpose.INVITATION)


# Somebody else's ---------------------------------------------------------------------------------------------------


def check_other_clinic(app: Flask, purpose: Purpose) -> None:
    secret = send_link(app, demo.ELM, purpose)
    check_opens_nothing(app, purpose, path_of(demo.OAK, purpose, secret), OAK_HOST)
    with inside(app, demo.OAK, Role.DOOR):
        assert mailed_links.find(purpose, secret) is None


@pytest.mark.parametrize("purpose", BOTH)
def test_a_link_of_one_clinic_is_nobodys_at_the_other(app: Flask, purpose: Purpose) -> None:
    """Maria has one address at both clinics; a letter of one must not open the other."""
    check_other_clinic(app, purpose)


def test_planted_no_row_security_on_links(
    committed_app: Flask, administrator: Administrator
) -> None:
    administrator.execute("ALTER POLICY door ON mailed_links USING (true)")
    with pytest.raises(AssertionError):
        check_other_clinic(committed_app, Purpose.PASSWORD_RESET)


@pytest.mark.parametrize(("mailed", "tried"), [BOTH, BOTH[::-1]])
def test_a_link_is_good_for_its_own_purpose_only(app: Flask, mailed: Purpose, tried: Purpose) -> None:
    check_opens_nothing(app, tried, path_of(demo.ELM, tried, send_link(app, demo.ELM, mailed)))


def one_bit_off(secret: str) -> list[str]:
    """The secret with each of its 258 bits changed, the two that carry nothing among them."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return [
        secret[:place] + alphabet[alphabet.index(letter) ^ (1 << bit)] + secret[place + 1 :]
        for place, letter in enumerate(secret)
        for bit in range(6)
    ]


def check_one_bit(app: Flask) -> None:
    secret = send_link(app, demo.ELM, Purpose.INVITATION)
    changed = [*one_bit_off(secret), secret + "=", secret + " ", secret[:-1], "", "\u00e9" * 43]
    with inside(app, demo.ELM, Role.DOOR):
        assert mailed_links.find(Purpose.INVITATION, secret)
        assert not [each for each in changed if mailed_links.find(Purpose.INVITATION, each)]
    check_opens_nothing(app, Purpose.INVITATION, path_of(demo.ELM, Purpose.INVITATION, changed[-6]))


def test_one_bit_off_is_another_secret(app: Flask) -> None:
    check_one_bit(app)


def test_planted_a_decoder_that_forgives(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgiving(text: str) -> bytes:
        try:
            return hashlib.sha256(urlsafe_b64decode(text + "=")).digest()
        except ValueError:
            return b""

    monkeypatch.setattr(link_tokens, "token_hash", forgiving)
    with pytest.raises(AssertionError):
        check_one_bit(app)


def check_accepting_beside_another(app: Flask) -> None:
    browser = Visitor(app, ELM_HOST).sign_in("omar@family.example")
    browser.get(path_of(demo.ELM, Purpose.INVITATION, send_link(app, demo.ELM, Purpose.INVITATION)))
    browser.get("/link/invitation")
    assert browser.post("/link/invitation", FORM).status_code == 303
    home = browser.read("/")
    assert "Sam" in home
    assert "Zoe" not in home
    assert _may_sign_in(app, "omar", demo.PASSWORD)
    assert not _may_sign_in(app, "omar", NEW_PASSWORD)


def test_accepting_on_a_shared_computer_mixes_no_families(app: Flask) -> None:
    """Grace accepts where Omar is still signed in: she finds Sam, not Zoe, and his password stays his."""
    check_accepting_beside_another(app)


def test_planted_the_old_session_goes_on(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "begin_session", lambda token: None)
    with pytest.raises(AssertionError):
        check_accepting_beside_another(app)


# Where the secret lies ----------------------------------------------------------------------------------------------


def database_as_text(connection: Administrator) -> str:
    tables = connection.execute(
        "SELECT table_schema, table_name FROM information_schema.tables "
        "WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')"
    ).fetchall()
    dumped = []
    for schema, table in tables:
        name = sql.Identifier(str(schema), str(table))
        dumped += [str(row[0]) for row in connection.execute(sql.SQL("SELECT t::text FROM {} t").format(name))]
    return "\n".join(dumped)


def check_database_holds_hashes_only(
    app: Flask, connection: Administrator, log: pytest.LogCaptureFixture
) -> None:
    secrets = {purpose: send_link(app, demo.ELM, purpose) for purpose in Purpose}
    assert worked(Purpose.INVITATION, use(app, Purpose.INVITATION, path_of(demo.ELM, Purpose.INVITATION, secrets[Purpose.INVITATION])))
    dump = database_as_text(connection)
    assert "grace@family.example" in dump  # it is a dump
    for purpose, secret in secrets.items():
        raw = urlsafe_b64decode(secret + "=")
        assert len(raw) == 32
        assert hashlib.sha256(raw).hexdigest() in dump, purpose
        assert secret not in dump, purpose
        assert raw.hex() not in dump, purpose
        assert secret not in log.text, purpose


def test_the_database_and_the_log_hold_no_secret(
    committed_app: Flask, administrator: Administrator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    check_database_holds_hashes_only(committed_app, administrator, caplog)


def test_planted_a_secret_kept_beside_its_hash(
    committed_app: Flask,
    administrator: Administrator,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def careless(purpose: Purpose, holder: Holder, email_norm: str, **more: Any) -> MailedLink:
        link = issue(purpose, holder, email_norm, **more)
        key = keys.signing_key(link_tokens.KEY_PURPOSE)
        audit.record("link.issued", secret=link_tokens.token(key, purpose, link.id))
        return link

    issue = mailed_links.issue
    monkeypatch.setattr(mailed_links, "issue", careless)
    with pytest.raises(AssertionError):
        check_database_holds_hashes_only(committed_app, administrator, caplog)


def check_secret_leaves_the_address(app: Flask, purpose: Purpose) -> None:
    secret = send_link(app, demo.ELM, purpose)
    person = visitor(app, purpose)
    answer = person.get(path_of(demo.ELM, purpose, secret))
    assert answer.status_code == 303
    assert answer.headers["Location"] == page_of(purpose)
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    page = person.get(page_of(purpose))
    assert secret not in page.text
    assert page.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("purpose", Purpose)
def test_the_secret_leaves_the_address_at_once(app: Flask, purpose: Purpose) -> None:
    check_secret_leaves_the_address(app, purpose)


def test_planted_a_page_that_shows_itself_under_the_secret(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    weak = open_page(lambda purpose, secret: render_template_string("<form>{{ purpose }}</form>", purpose=purpose))
    monkeypatch.setitem(app.view_functions, "portal.link", weak)
    with pytest.raises(AssertionError):
        check_secret_leaves_the_address(app, Purpose.INVITATION)


def test_an_accepted_link_shows_its_own_patient_only(app: Flask) -> None:
    """Grace's link is for Sam: it opens nothing of Leo, Mia or Zoe."""
    use(app, Purpose.INVITATION, path_of(demo.ELM, Purpose.INVITATION, send_link(app, demo.ELM, Purpose.INVITATION)))
    home = Visitor(app, ELM_HOST).sign_in("grace@family.example", password=NEW_PASSWORD).read("/")
    assert "Sam" in home
    assert not [name for name in ("Leo", "Mia", "Zoe") if name in home]
    with inside(app, demo.ELM):
        assert newest_link(Purpose.INVITATION).portal_user_id == user("grace@family.example").id
