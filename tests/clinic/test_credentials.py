"""Lost if it fails: somebody guesses a parent's password, or a good password is refused and the family gives up."""

from datetime import timedelta
from threading import BoundedSemaphore

import pytest
from flask import Flask
from sqlalchemy import select, text

from clinic import credentials, demo
from clinic.actors import Holder
from clinic.credentials import Password
from tenancy.database import db
from tenancy.errors import Busy, Refused
from tenancy.tenant import Role
from tests.inside import inside, member, user
from tests.visitor import Visitor

GOOD = "eleven quiet green lamps"


def check(password: str, *, has_factor: bool = False) -> None:
    credentials.check_rules(
        password, clinic_name="Elm Street Therapy", email="maria.lopez@family.example", has_factor=has_factor
    )


@pytest.mark.parametrize(
    "password",
    [GOOD, "x" * 3 + "yzabcdefghijklmno"[::-1], "пятнадцать букв тут", "🐢🐇🦊🐻🐼🐨🐯🦁🐮🐷🐸🐵🐔🐧🐦", "no rules at all here", "&*()_+=-{}[]|:;<>?", "a!b@#$%^&*()_+-=", "   five blanks   here   ", "ab cd efg " * 25 + "hijk m", "fifteen letters", "abcde edcba abced", "q!w@e#r$t%y^u&*", "lamps lamps lamps lamps"],
)  # fmt: skip
def test_any_long_password_of_ones_own_is_welcome(password: str) -> None:
    """No composition rules, any character, blanks too."""
    check(password)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("fourteen chars", "at least 15"),
        ("", "at least 15"),
        ("x" * 257, "at most 256"),
        ("passwordpassword", "easy to guess"),
        ("Password Password", "easy to guess"),
        ("aaaaaaaaaaaaaaaaaaaa", "easy to guess"),
        ("!!!!!!!!!!!!!!!!!!!!", "easy to guess"),
        (" " * 20, "easy to guess"),
        ("correct horse battery staple", "easy to guess"),
        ("abcabcabcabcabcabc", "easy to guess"),
        ("123456789012345", "easy to guess"),
        ("abcdefghijklmnop", "easy to guess"),
        ("sunshine sunshine", "easy to guess"),
        ("p-a-s-s-w-o-r-d", "easy to guess"),
        ("abcd abdc acbd ab", "easy to guess"),
        ("wxyzabcdefghijklm", "easy to guess"),
        ("34567890123456789", "easy to guess"),
        ("0123456789" * 24 + "012345", "easy to guess"),
        ("my elm street therapy login", "clinic's name"),
        ("ELM-STREET_THERAPY 2024!", "clinic's name"),
        ("maria.lopez loves tea", "e-mail address"),
        ("xx MariaLopez xx xx", "e-mail address"),
        ("maria.lopez@family.example", "e-mail address"),
    ],
)
def test_a_guessable_one_is_refused_with_what_to_do(app: Flask, password: str, why: str) -> None:
    with app.app_context(), pytest.raises(Refused) as refusal:
        check(password)
    assert refusal.value.field == "password"
    with app.app_context():
        assert why in str(refusal.value.message)


@pytest.mark.parametrize(
    ("password", "why"), [("7 chars", "at least 8"), ("password", "easy to guess"), ("an elmstreettherapy", "clinic's name")]
)
def test_beside_a_second_factor_eight_characters_do_unless_they_are_guessable(app: Flask, password: str, why: str) -> None:
    check("8 chars!", has_factor=True)
    with app.app_context(), pytest.raises(Refused) as refusal:
        check(password, has_factor=True)
    assert refusal.value.field == "password"
    with app.app_context():
        assert why in str(refusal.value.message)


@pytest.mark.parametrize("password", ["four oaks in the yard", "with Ann.B under them"])
def test_a_name_of_four_letters_is_left_out(app: Flask, password: str) -> None:
    with app.app_context(), pytest.raises(Refused, match="Leave the clinic's name"):
        credentials.check_rules(password, clinic_name="Oaks", email="ann.b@family.example")


def test_a_short_name_in_an_address_forbids_no_words() -> None:
    """Al may use "always": three letters are in every other sentence."""
    credentials.check_rules("we always walk along", clinic_name="AB", email="al@b.example")


@pytest.mark.usefixtures("full_hashes")
def test_the_password_is_kept_as_argon2_and_opens_for_its_holder_only(app: Flask) -> None:
    with inside(app, demo.ELM, Role.DOOR):
        maria, omar = user("maria@family.example").holder, user("omar@family.example").holder
        credentials.choose(maria, GOOD)
        kept = db.session.scalars(select(Password.hash).where(Password.portal_user_id == maria.portal_user_id)).one()
        # What OWASP's Password Storage Cheat Sheet names as the least: 19 MiB, two rounds, one lane.
        assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert credentials.is_right(maria, GOOD)
        assert not credentials.is_right(maria, GOOD + " ")
        assert not credentials.is_right(maria, demo.PASSWORD)  # the one before stopped working
        assert not credentials.is_right(omar, GOOD)
        assert credentials.is_right(omar, demo.PASSWORD)


@pytest.mark.parametrize("password", ["fourteen chars", "fifteen letters"])
def test_a_password_remembers_that_it_is_too_short_to_stand_alone(app: Flask, password: str) -> None:
    """Else somebody who gives up the second factor keeps eight characters as their only lock."""
    with inside(app, demo.ELM, Role.DOOR):
        for holder in (user("maria@family.example").holder, member("ana@elm.example").holder):
            assert not credentials.needs_factor(holder)
            credentials.choose(holder, password)
            assert credentials.is_right(holder, password)
            assert credentials.needs_factor(holder) == (len(password) < 15)
        for other in (user("omar@family.example").holder, member("ben@elm.example").holder):
            assert credentials.is_right(other, demo.PASSWORD) and not credentials.needs_factor(other)
        assert not credentials.needs_factor(user("grace@family.example").holder)  # who has none yet


def test_two_with_the_same_password_are_kept_differently(app: Flask) -> None:
    with inside(app, demo.ELM, Role.DOOR):
        hashes = db.session.scalars(text("SELECT hash FROM passwords")).all()
    assert len(set(hashes)) == len(hashes) > 3


def test_nobody_is_checked_as_long_as_somebody(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a stranger with a stop-watch learns who is a patient's parent here."""
    verified: list[str] = []

    class Counting:
        def verify(self, kept: str, password: str) -> bool:
            verified.append(kept)
            return hasher.verify(kept, password)

    hasher = credentials._hasher
    monkeypatch.setattr(credentials, "_hasher", Counting())
    with inside(app, demo.ELM, Role.DOOR):
        assert not credentials.is_right(None, demo.PASSWORD)
        assert not credentials.is_right(Holder(portal_user_id=user("grace@family.example").id), demo.PASSWORD)
        assert credentials.is_right(member("ana@elm.example").holder, demo.PASSWORD)
    assert len(verified) == 3
    assert len({each.split("$")[3] for each in verified}) == 1  # at the same cost


def test_two_are_looked_at_at_once_and_a_third_is_told_to_come_back(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing takes all of a core: without a cap a flood of sign-ins would take everybody else's."""
    monkeypatch.setattr(credentials, "LONGEST_WAIT", timedelta(milliseconds=20))
    with inside(app, demo.ELM, Role.DOOR):
        maria = user("maria@family.example").holder
        with credentials._a_turn():
            assert credentials.is_right(maria, demo.PASSWORD)
            with credentials._a_turn():
                for work in (lambda: credentials.is_right(maria, demo.PASSWORD), lambda: credentials.choose(maria, GOOD)):
                    with pytest.raises(Busy) as refusal:
                        work()
                    assert refusal.value.wait == timedelta(seconds=5)
        credentials.choose(maria, GOOD)  # whoever is done makes room
        for _ in range(credentials.HASHES_AT_ONCE + 1):
            assert not credentials.is_right(maria, "a wrong one")  # and so does a wrong one
    assert credentials.HASHES_AT_ONCE == 2


def test_nobody_waits_longer_than_a_second_for_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each who waits holds one of the few threads that answer everybody else."""
    waits: list[float] = []

    class Taken:
        def acquire(self, timeout: float) -> bool:
            waits.append(timeout)
            return False

    monkeypatch.setattr(credentials, "_hashing", Taken())
    with pytest.raises(Busy), credentials._a_turn():
        pass
    assert waits == [1]


def test_the_page_of_a_flood_says_when_to_come_back(portal: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_hashing", BoundedSemaphore(1))
    monkeypatch.setattr(credentials, "LONGEST_WAIT", timedelta(0))
    portal.get("/sign-in")
    with credentials._a_turn():
        answers = [portal.post("/sign-in", {"email": "maria@family.example", "password": demo.PASSWORD}) for _ in range(7)]
    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].headers["Retry-After"] == "5" and "try again in a few seconds" in answers[0].text
    portal.sign_in("maria@family.example")  # what was not looked at was no miss


def test_staff_read_no_password(app: Flask) -> None:
    with pytest.raises(Exception, match="permission denied"), inside(app, demo.ELM):
        db.session.execute(text("SELECT hash FROM passwords"))
