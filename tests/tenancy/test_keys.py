"""Lost if it fails: a stolen backup can be read, documents can be swapped between families, or links can be forged."""

from base64 import urlsafe_b64decode
from dataclasses import replace
from hashlib import sha256
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import select

from clinic import demo
from tenancy import keys, link_tokens
from tenancy.database import db
from tenancy.keys import ClinicKey, Unreadable
from tenancy.link_tokens import Purpose
from tenancy.tenant import NoClinicOpen
from tests.inside import inside

ROW = UUID(int=7)
PLAIN = b"Plan of care for Leo"


def test_what_is_sealed_opens_again_and_shows_nothing(app: Flask) -> None:
    with inside(app, demo.ELM):
        sealed = keys.seal(PLAIN, purpose="documents", row_id=ROW)
        assert keys.unseal(sealed, purpose="documents", row_id=ROW) == PLAIN
        assert PLAIN not in sealed
        assert keys.seal(PLAIN, purpose="documents", row_id=ROW) != sealed  # no two alike: equality is not shown either


def test_bytes_moved_to_another_row_or_purpose_do_not_open(app: Flask) -> None:
    with inside(app, demo.ELM):
        sealed = keys.seal(PLAIN, purpose="documents", row_id=ROW)
        for purpose, row_id in (("documents", uuid4()), ("messages", ROW)):
            with pytest.raises(Unreadable):
                keys.unseal(sealed, purpose=purpose, row_id=row_id)


def test_bytes_carried_to_the_other_clinic_do_not_open_and_somebody_is_told(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    with inside(app, demo.ELM):
        sealed = keys.seal(PLAIN, purpose="documents", row_id=ROW)
    with inside(app, demo.OAK) as oak, pytest.raises(Unreadable):
        keys.unseal(sealed, purpose="documents", row_id=ROW)
    (told,) = caplog.records
    assert told.levelname == "CRITICAL" and told.getMessage() == f"seal.broken: documents of {ROW}, clinic {oak.id}"


def test_one_changed_bit_is_noticed(app: Flask) -> None:
    with inside(app, demo.ELM):
        sealed = keys.seal(PLAIN, purpose="documents", row_id=ROW)
        for place in range(len(sealed)):
            changed = bytes(byte ^ (place == number) for number, byte in enumerate(sealed))
            with pytest.raises(Unreadable):
                keys.unseal(changed, purpose="documents", row_id=ROW)


@pytest.mark.parametrize("cut", [b"", b"short", b"x" * 12, b"x" * 27])
def test_bytes_cut_off_are_unreadable_and_no_crash(app: Flask, cut: bytes) -> None:
    with inside(app, demo.ELM), pytest.raises(Unreadable):
        keys.unseal(cut, purpose="documents", row_id=ROW)


def test_the_database_alone_opens_nothing(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a copy of the database but another master key, no clinic's key unwraps."""
    with inside(app, demo.ELM):
        wrapped = db.session.scalars(select(ClinicKey.wrapped)).one()
        sealed = keys.seal(PLAIN, purpose="documents", row_id=ROW)
    assert len(wrapped) == 12 + 32 + 16
    monkeypatch.setitem(app.config, "PORTICO", replace(app.config["PORTICO"], master_key=bytes(32)))
    with inside(app, demo.ELM), pytest.raises(Unreadable):
        keys.unseal(sealed, purpose="documents", row_id=ROW)


def test_a_key_wrapped_for_one_clinic_does_not_unwrap_for_another(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    with inside(app, demo.ELM):
        elms = db.session.scalars(select(ClinicKey.wrapped)).one()
    with inside(app, demo.OAK), pytest.raises(Unreadable):
        keys._unlock(app.config["PORTICO"].master_key, elms, about=b"clinic-key:" + keys.tenant.current_clinic_id().bytes)


def test_each_clinic_and_each_purpose_signs_with_its_own_key(app: Flask) -> None:
    made = set()
    for slug in (demo.ELM, demo.OAK):
        with inside(app, slug):
            made |= {keys.signing_key(link_tokens.KEY_PURPOSE), keys.signing_key("calendars")}
    assert len(made) == 4
    assert {len(key) for key in made} == {32}


def test_what_belongs_to_no_clinic_is_signed_with_the_platforms_key(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the master key nobody finds out which networks guessed at passwords."""
    with app.app_context():
        made = {keys.platform_signing_key("guesses"), keys.platform_signing_key("calendars")}
        assert keys.platform_signing_key("guesses") in made
        monkeypatch.setitem(app.config, "PORTICO", replace(app.config["PORTICO"], master_key=bytes(32)))
        made.add(keys.platform_signing_key("guesses"))
    assert [len(key) for key in made] == [32] * 3


def test_outside_a_clinic_there_is_no_key(app: Flask) -> None:
    with app.app_context(), pytest.raises(NoClinicOpen):
        keys.signing_key(link_tokens.KEY_PURPOSE)


def test_a_front_door_request_is_sealed_for_its_purpose(app: Flask) -> None:
    with app.app_context():
        sealed = keys.seal_for_platform(b"maria@family.example", purpose="front-door")
        assert b"maria" not in sealed
        assert keys.unseal_for_platform(sealed, purpose="front-door") == b"maria@family.example"
        with pytest.raises(Unreadable):
            keys.unseal_for_platform(sealed, purpose="other")


def test_a_link_token_is_256_bits_of_its_own_for_every_purpose_and_link(app: Flask) -> None:
    with inside(app, demo.ELM):
        key = keys.signing_key(link_tokens.KEY_PURPOSE)
    links = [UUID(int=number) for number in range(20)]
    made = {link_tokens.token(key, purpose, link) for purpose in Purpose for link in links}
    assert len(made) == 20 * len(Purpose)
    assert {len(urlsafe_b64decode(each + "=")) for each in made} == {32}
    assert link_tokens.token_hash(one := made.pop()) == sha256(urlsafe_b64decode(one + "=")).digest()
    one = link_tokens.token(key, Purpose.INVITATION, links[0])
    assert one == link_tokens.token(key, Purpose.INVITATION, links[0])  # the worker makes it again; it is stored nowhere
    assert one != link_tokens.token(bytes(32), Purpose.INVITATION, links[0])


@pytest.mark.parametrize("text", ["", "x", "=" * 43, "\x00" * 43, "é" * 43, "A" * 10_000, "A" * 42, "A" * 44, "A" * 42 + "B", "!" + "A" * 43, "A" * 42 + "\n", "+" + "A" * 42])
def test_what_is_no_token_has_the_hash_of_no_link(text: str) -> None:
    assert link_tokens.token_hash(text) == link_tokens.token_hash("not a token either")
