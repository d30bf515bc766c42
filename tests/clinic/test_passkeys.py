"""Lost if it fails: somebody signs in as a parent or as staff with a key that is not theirs, is a copy, was made for
another door or clinic, or with what was sent before; or whoever has only a passkey is locked out by a new address.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flask import Flask
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import ProgrammingError

from clinic import demo, passkeys
from clinic.actors import Holder
from clinic.audit import AuditEntry
from clinic.passkeys import Challenge, Offer, Passkey, Purpose, RelyingParty
from tenancy import clock
from tenancy.database import db
from tenancy.errors import NotFound, Refused
from tenancy.sites import Admin, Portal
from tenancy.tenant import Role
from tests.inside import at_the_door, inside
from tests.software_authenticator import PRESENT, Device

MARIA, OMAR, ANA, OLA = "maria@family.example", "omar@family.example", "ana@elm.example", "ola@oak.example"


@dataclass
class Owner:
    """Somebody at a clinic who has a passkey on a device."""

    app: Flask
    email: str
    slug: str
    party: RelyingParty
    device: Device

    @property
    def holder(self) -> Holder:
        with self.at_the_door() as holder:
            return holder

    def at_the_door(self) -> AbstractContextManager[Holder]:
        return at_the_door(self.app, self.slug, self.email)

    def add(self, name: str = "My phone") -> "Owner":
        with self.at_the_door():
            offer = passkeys.offer_new(self.holder, self.party, self.email)
            passkeys.add(self.holder, self.party, offer.challenge, self.device.make(offer.options), name)
        return self

    def shows(self, offer: Offer, answer: str, party: RelyingParty | None = None) -> bool:
        with self.at_the_door():
            return passkeys.show(self.holder, party or self.party, offer.challenge, answer)

    def offer(self, purpose: Purpose = Purpose.SIGN_IN) -> Offer:
        with self.at_the_door():
            return passkeys.offer(self.party, purpose, None if purpose is Purpose.SIGN_IN else self.holder)


def owner(app: Flask, email: str, slug: str = demo.ELM) -> Owner:
    site = Portal(slug) if email.endswith("family.example") else Admin()
    party = passkeys.relying_party(site, app.config["PORTICO"], slug)
    return Owner(app, email, slug, party, Device(party.origin, party.host))


@pytest.fixture
def maria_s(app: Flask) -> Owner:
    return owner(app, MARIA).add()


@pytest.fixture(params=[MARIA, ANA])
def somebody(app: Flask, request: pytest.FixtureRequest) -> Owner:
    return owner(app, request.param).add()


def test_the_relying_party_is_the_exact_host(app: Flask) -> None:
    parties = [passkeys.relying_party(site, app.config["PORTICO"], "Elm") for site in (Portal(demo.ELM), Admin())]
    assert [party.host for party in parties] == ["elm-street.localhost", "admin.localhost"]
    assert [party.origin for party in parties] == ["http://elm-street.localhost:8000", "http://admin.localhost:8000"]


@pytest.mark.parametrize("purpose", [Purpose.SIGN_IN, Purpose.FACTOR, Purpose.CONFIRM])
def test_a_passkey_is_shown_again_and_again(somebody: Owner, purpose: Purpose) -> None:
    for _ in range(2):
        offer = somebody.offer(purpose)
        assert somebody.shows(offer, somebody.device.answer(offer.options))


def test_a_device_without_a_counter_is_welcome(app: Flask) -> None:
    phone = owner(app, MARIA)
    phone.device.counts = False
    phone.add()
    for _ in range(2):
        offer = phone.offer()
        assert phone.shows(offer, phone.device.answer(offer.options))


WRONG: dict[str, dict[str, Any]] = {
    "another clinic's portal": {"origin": "http://oak-hill.localhost:8000"},
    "the staff's host": {"origin": "http://admin.localhost:8000"},
    "another port": {"origin": "http://elm-street.localhost:8001"},
    "a look-alike": {"origin": "http://elm-street.localhost.evil.example:8000"},
    "a host above": {"host": "localhost"},
    "a sibling's host": {"host": "oak-hill.localhost"},
    "an answer of the other kind": {"type": "webauthn.create"},
    "a challenge made up": {"challenge": "AAAA"},
    "its owner was not recognised": {"flags": PRESENT},
    "nobody was there": {"flags": 0x04},
    "another key": {"key": ec.generate_private_key(ec.SECP256R1())},
    "somebody else's handle": {"handle": bytes(32)},
    "no handle": {"handle": b""},
    "a count that went back": {"count": 1},
    "the same count again": {"count": 5},
}


@pytest.mark.parametrize("what", WRONG)
def test_an_answer_with_one_thing_wrong_is_refused(maria_s: Owner, what: str) -> None:
    maria_s.device.count = 4
    first = maria_s.offer()
    assert maria_s.shows(first, maria_s.device.answer(first.options))  # the count is 5 now
    offer = maria_s.offer()
    assert not maria_s.shows(offer, maria_s.device.answer(offer.options, **WRONG[what]))


@pytest.mark.parametrize("what", sorted(set(WRONG) - {"somebody else's handle", "no handle", "another key", "the same count again", "a count that went back"}))  # fmt: skip
def test_a_passkey_is_not_made_with_one_thing_wrong(app: Flask, what: str) -> None:
    made = owner(app, MARIA)
    changed = dict(WRONG[what])
    made.device.flags = changed.pop("flags", made.device.flags)
    if "type" in changed:
        changed["type"] = "webauthn.get"
    with made.at_the_door(), pytest.raises(Refused):
        offer = passkeys.offer_new(made.holder, made.party, MARIA)
        passkeys.add(made.holder, made.party, offer.challenge, made.device.make(offer.options, **changed), "A phone")


def test_told_which_passkeys_to_look_for_a_device_need_not_say_whose_it_found(maria_s: Owner) -> None:
    offer = maria_s.offer(Purpose.FACTOR)
    answer = json.loads(maria_s.device.answer(offer.options))
    del answer["response"]["userHandle"]
    assert maria_s.shows(offer, json.dumps(answer))


def test_an_answer_is_good_once(somebody: Owner) -> None:
    """Whoever has the answer, and the cookie with its challenge, has nothing."""
    somebody.device.counts = False
    offer = somebody.offer()
    answer = somebody.device.answer(offer.options)
    assert somebody.shows(offer, answer)
    assert not somebody.shows(offer, answer)


def test_a_challenge_from_before_the_last_answer_is_spent(maria_s: Owner) -> None:
    early, late = maria_s.offer(), maria_s.offer()
    assert maria_s.shows(late, maria_s.device.answer(late.options))
    assert not maria_s.shows(early, maria_s.device.answer(early.options))


def test_a_challenge_is_kept_for_five_minutes_and_one_purpose(maria_s: Owner) -> None:
    challenge = maria_s.offer().challenge
    assert passkeys.read_challenge(challenge.text, Purpose.SIGN_IN) == challenge
    for purpose in set(Purpose) - {Purpose.SIGN_IN}:
        assert passkeys.read_challenge(challenge.text, purpose) is None
    assert passkeys.read_challenge(None, Purpose.SIGN_IN) is None
    with clock.moved(passkeys.LASTS - timedelta(seconds=5)):
        assert passkeys.read_challenge(challenge.text, Purpose.SIGN_IN)
    with clock.moved(passkeys.LASTS + timedelta(seconds=1)):
        assert passkeys.read_challenge(challenge.text, Purpose.SIGN_IN) is None


def test_without_a_challenge_nothing_is_good(maria_s: Owner) -> None:
    offer = maria_s.offer()
    with maria_s.at_the_door():
        assert not passkeys.show(maria_s.holder, maria_s.party, None, maria_s.device.answer(offer.options))


def test_a_copy_of_a_key_is_recorded(maria_s: Owner) -> None:
    maria_s.device.count = 9
    for count in (None, 3):
        offer = maria_s.offer()
        changed = {} if count is None else {"count": count}
        maria_s.shows(offer, maria_s.device.answer(offer.options, **changed))
    with inside(maria_s.app, demo.ELM):
        entry = db.session.scalars(select(AuditEntry).order_by(AuditEntry.at.desc()).limit(1)).one()
    assert (entry.event, entry.details) == ("passkey.copy_suspected", {"count": [10, 3]})


def test_somebody_elses_passkey_is_not_mine(app: Flask, maria_s: Owner) -> None:
    omar_s = owner(app, OMAR).add()
    offer = omar_s.offer()
    assert not omar_s.shows(offer, maria_s.device.answer(offer.options))


def test_another_clinics_passkey_is_not_found_at_the_same_host(app: Flask) -> None:
    """Staff of all clinics sign in at one host: the browser offers Ola's key at Elm Street, which does not know it."""
    ola_s = owner(app, OLA, demo.OAK).add()
    with inside(app, demo.ELM, Role.DOOR):
        offer = passkeys.offer(ola_s.party, Purpose.SIGN_IN)
        answer = ola_s.device.answer(offer.options)
        assert passkeys.find_holder(answer) is None
    with inside(app, demo.OAK, Role.DOOR):
        assert passkeys.find_holder(answer) == ola_s.holder


def test_who_works_at_two_clinics_has_two_handles(app: Flask) -> None:
    """Devices keep one passkey a host and handle: with one handle, the second would replace the first."""
    handles = set()
    for email, slug in ((ANA, demo.ELM), (OLA, demo.OAK), (MARIA, demo.ELM), (MARIA, demo.OAK)):
        each = owner(app, email, slug).add()
        assert len(each.device.handle) == 32
        handles.add(each.device.handle)
    assert len(handles) == 4


def test_the_same_passkey_is_set_up_once(maria_s: Owner) -> None:
    with maria_s.at_the_door():
        offer = passkeys.offer_new(maria_s.holder, maria_s.party, MARIA)
        assert [each["id"] for each in json.loads(offer.options)["excludeCredentials"]]
        with pytest.raises(Refused, match="already"):
            passkeys.add(maria_s.holder, maria_s.party, offer.challenge, maria_s.device.make(offer.options), "Again")


def test_ten_are_the_most(app: Flask) -> None:
    for _ in range(passkeys.MOST):
        owner(app, MARIA).add()
    with pytest.raises(Refused, match="ten passkeys"):
        owner(app, MARIA).add()


def test_names_are_ones_own_to_give(maria_s: Owner) -> None:
    with maria_s.at_the_door():
        (row,) = passkeys.of_holder(maria_s.holder, maria_s.party)
        assert (row.name, row.works_here, row.last_used_at) == ("My phone", True, None)
        passkeys.rename(maria_s.holder, row.id, "  The old phone ")
        assert passkeys.get(maria_s.holder, row.id).name == "The old phone"
        for wrong in ("", "   ", "x" * 61):
            with pytest.raises(Refused) as refusal:
                passkeys.rename(maria_s.holder, row.id, wrong)
            assert refusal.value.field == "name"


def test_only_ones_own_can_be_looked_at_named_or_removed(app: Flask, maria_s: Owner) -> None:
    with maria_s.at_the_door():
        (row,) = passkeys.of_holder(maria_s.holder, maria_s.party)
    omar_s = owner(app, OMAR)
    attempts: list[Callable[..., Any]] = [passkeys.get, passkeys.remove, lambda who, which: passkeys.rename(who, which, "Mine")]
    for attempt in attempts:
        for which in (row.id, uuid4()):
            with omar_s.at_the_door(), pytest.raises(NotFound):
                attempt(omar_s.holder, which)
    with maria_s.at_the_door():
        passkeys.remove(maria_s.holder, row.id)
        assert passkeys.count(maria_s.holder) == 0


def test_the_database_lets_nobody_add_or_remove_another_s(app: Flask, maria_s: Owner) -> None:
    """A page that forgets whose request it is: row security still asks."""
    omar_s, hers = owner(app, OMAR), maria_s.holder
    with pytest.raises(ProgrammingError), omar_s.at_the_door():
        offer = passkeys.offer_new(hers, maria_s.party, MARIA)
        passkeys.add(hers, maria_s.party, offer.challenge, omar_s.device.make(offer.options), "Planted")
    with omar_s.at_the_door():
        passkeys.remove_all(hers)
    for role in (Role.STAFF, Role.PORTAL):
        with pytest.raises(ProgrammingError), inside(app, demo.ELM, role, hers.portal_user_id):
            passkeys.remove_all(hers)
    with maria_s.at_the_door():
        assert passkeys.count(hers) == 1


def test_at_another_host_it_is_listed_and_works_no_more(maria_s: Owner) -> None:
    """After a rename of the portal. It still counts as a second factor: the password alone does not become enough."""
    moved = replace(maria_s.party, host="elm-lane.localhost", origin="http://elm-lane.localhost:8000")
    with maria_s.at_the_door():
        (row,) = passkeys.of_holder(maria_s.holder, moved)
        assert not row.works_here and passkeys.count(maria_s.holder) == 1
        offer = passkeys.offer(moved, Purpose.FACTOR, maria_s.holder)
    assert json.loads(offer.options)["allowCredentials"] == []
    forged = maria_s.device.answer(offer.options, origin=moved.origin, host=moved.host)
    assert not maria_s.shows(offer, forged, moved)


MADE_UP = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(["AAAA", "public-key", "webauthn.get"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["id", "rawId", "type", "response", "clientDataJSON", "authenticatorData", "signature", "userHandle",
             "attestationObject", "transports", "authenticatorAttachment"]
        ),
        inner,
    ),
    max_leaves=12,
)  # fmt: skip


@examples(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MADE_UP, st.integers(0, 400), st.integers(0, 255))
def test_what_is_no_answer_is_refused_and_breaks_nothing(maria_s: Owner, made_up: Any, place: int, byte: int) -> None:
    offer = maria_s.offer()
    good = json.loads(maria_s.device.answer(offer.options))
    broken = {**good, "response": {**good["response"], "authenticatorData": "AAAA", "signature": str(made_up)}}
    bent = json.dumps(good)
    bent = bent[:place] + chr(byte) + bent[place + 1 :]
    for answer in (json.dumps(made_up), str(made_up), json.dumps({**good, "response": made_up}), json.dumps(broken), "x" * 20_000):
        assert not maria_s.shows(offer, answer)
        with maria_s.at_the_door(), pytest.raises(Refused):
            passkeys.add(maria_s.holder, maria_s.party, offer.challenge, answer, "A phone")
    with maria_s.at_the_door():
        passkeys.find_holder(bent)
        with pytest.raises(Refused):
            passkeys.add(maria_s.holder, maria_s.party, offer.challenge, bent, "A phone")


def test_a_challenge_is_32_random_bytes(maria_s: Owner) -> None:
    found = {maria_s.offer().challenge.value for _ in range(5)}
    assert len(found) == 5 and {len(value) for value in found} == {32}
    assert isinstance(maria_s.offer().challenge, Challenge)


def test_no_row_is_written_for_a_challenge(maria_s: Owner) -> None:
    """Whoever asks for a million challenges fills no table."""
    with inside(maria_s.app, demo.ELM, Role.DOOR):
        before = db.session.scalars(select(Passkey.challenged_at)).all()
    maria_s.offer()
    with inside(maria_s.app, demo.ELM, Role.DOOR):
        assert db.session.scalars(select(Passkey.challenged_at)).all() == before
