"""What a family asks the clinic for is seen, answered, and theirs alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from clinic import actors, appointment_requests, demo, portal_settings, portal_users
from clinic.actors import Actor, ActorKind
from clinic.appointment_requests import MOVES, RequestState
from tenancy import clock
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tenancy.tenant import Role
from tests.inside import acting, inside, patient, user

MARIA, OMAR = "maria@family.example", "omar@family.example"
ALL = "SELECT id FROM appointment_requests"


@pytest.fixture
def leo(app: Flask) -> UUID:
    with inside(app, demo.ELM):
        return patient("Leo Lopez").id


@contextmanager
def family(app: Flask, email: str = MARIA, slug: str = demo.ELM) -> Iterator[UUID]:
    with inside(app, slug):
        me = user(email).id
    with inside(app, slug, Role.PORTAL, me), actors.acting(Actor(ActorKind.PORTAL_USER, me)):
        yield me


@contextmanager
def desk(app: Flask) -> Iterator[None]:
    with inside(app, demo.ELM), acting("ana@elm.example"):
        yield


def ask(app: Flask, patient_id: UUID) -> UUID:
    with family(app):
        return appointment_requests.ask(patient_id, "A Thursday").id


def _answer(request_id: UUID) -> None:
    appointment_requests.answer(request_id, "Booked for Thursday.")


@pytest.mark.parametrize("state", RequestState)
@pytest.mark.parametrize(
    ("target", "verb"), [(RequestState.ANSWERED, _answer), (RequestState.WITHDRAWN, appointment_requests.withdraw)]
)
def test_the_states_are_as_the_table_says(
    app: Flask, leo: UUID, state: RequestState, target: RequestState, verb: Callable[[UUID], None]
) -> None:
    """A withdrawn wish would be booked, or an answer would be taken back."""
    asked = ask(app, leo)
    if state is RequestState.ANSWERED:
        with desk(app):
            _answer(asked)
    if state is RequestState.WITHDRAWN:
        with family(app):
            appointment_requests.withdraw(asked)
    with desk(app) if target is RequestState.ANSWERED else family(app):
        if target in MOVES[state]:
            verb(asked)
        else:
            with pytest.raises(Conflict):
                verb(asked)
    with family(app):
        assert appointment_requests.get(asked).state == (target if target in MOVES[state] else state)


def test_the_family_reads_the_answer(app: Flask, leo: UUID) -> None:
    asked = ask(app, leo)
    with desk(app):
        row = appointment_requests.get(asked)
        assert row.portal_user_name == "Maria Lopez" and appointment_requests.count_open() == 2
        _answer(asked)
        assert [each.is_open for each in appointment_requests.search()] == [True, False], "open ones first"
    with family(app):
        found = {each.id: each for each in appointment_requests.of_portal_user(leo)}
        assert found[asked].answer == "Booked for Thursday." and not found[asked].is_open


def test_at_most_five_are_open_for_one_patient(app: Flask, leo: UUID) -> None:
    """The desk would drown in one person's wishes."""
    for _number in range(4):  # the demo's is the fifth
        last = ask(app, leo)
    with pytest.raises(Refused):
        ask(app, leo)
    with inside(app, demo.ELM):
        mia = patient("Mia Lopez").id
    ask(app, mia)
    with family(app):
        appointment_requests.withdraw(last)
    ask(app, leo)


@pytest.mark.parametrize("wish", ["", " \r\n ", "x" * 501, "\x00\u202e"])
def test_a_wish_has_1_to_500_characters(app: Flask, leo: UUID, wish: str) -> None:
    with family(app), pytest.raises(Refused) as refusal:
        appointment_requests.ask(leo, wish)
    assert refusal.value.field == "wish"


@pytest.mark.parametrize("days", [-1, 4000])
def test_a_preferred_day_is_to_come_and_not_far_away(app: Flask, leo: UUID, days: int) -> None:
    with family(app), pytest.raises(Refused) as refusal:
        appointment_requests.ask(leo, "A day", clock.now().date() + timedelta(days=days * 2))
    assert refusal.value.field == "preferred_on"


@pytest.mark.parametrize("answer", ["", "x" * 501])
def test_an_answer_has_1_to_500_characters(app: Flask, leo: UUID, answer: str) -> None:
    asked = ask(app, leo)
    with desk(app), pytest.raises(Refused) as refusal:
        appointment_requests.answer(asked, answer)
    assert refusal.value.field == "answer"


def _turn_off() -> None:
    portal_settings.get().allows_appointment_requests = False


def _revoke() -> None:
    for access in portal_users.access_to(patient("Leo Lopez").id):
        portal_users.unlink(access.id)


@pytest.mark.parametrize("ending", [_turn_off, _revoke])
def test_what_ended_ends_at_once_for_the_family_and_stays_for_staff(
    app: Flask, leo: UUID, ending: Callable[[], None]
) -> None:
    asked = ask(app, leo)
    with desk(app):
        ending()
    with family(app):
        assert db.session.execute(text(ALL)).all() == []
        for tried in (lambda: appointment_requests.ask(leo, "Again"), lambda: appointment_requests.withdraw(asked)):
            with pytest.raises(NotFound):
                tried()
    with desk(app):
        _answer(asked)


def test_another_parent_another_clinic_and_another_patient_see_nothing(app: Flask, leo: UUID) -> None:
    asked = ask(app, leo)
    with family(app, OMAR):
        assert db.session.execute(text(ALL)).all() == []
        with pytest.raises(NotFound):
            appointment_requests.withdraw(asked)
        with pytest.raises(NotFound):
            appointment_requests.ask(leo, "For somebody else's child")
    with inside(app, demo.OAK), pytest.raises(NotFound):
        appointment_requests.get(asked)
    with family(app, slug=demo.OAK), pytest.raises(NotFound):
        appointment_requests.ask(uuid4(), "Oak has it switched off")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE appointment_requests SET state = 'answered', ended_at = now()",
        "UPDATE appointment_requests SET answer = 'Yes'",
        "UPDATE appointment_requests SET wish = 'Another'",
        "DELETE FROM appointment_requests",
        "INSERT INTO appointment_requests (clinic_id, portal_user_id, patient_id, wish, state, asked_at) "
        "SELECT clinic_id, '{omar}', patient_id, 'x', 'open', now() FROM appointment_requests",
        "INSERT INTO appointment_requests (clinic_id, portal_user_id, patient_id, wish, state, asked_at) "
        "SELECT clinic_id, portal_user_id, '{zoe}', 'x', 'open', now() FROM appointment_requests",
    ],
)
def test_the_database_itself_refuses_a_portal_user(app: Flask, statement: str) -> None:
    """A parent could answer for the clinic, or ask in another's name."""
    with inside(app, demo.ELM):
        others = {"omar": user(OMAR).id, "zoe": patient("Zoe Haddad").id}
    with family(app), pytest.raises(ProgrammingError), db.session.begin_nested():
        db.session.execute(text(statement.format(**others)))


def test_an_answered_request_cannot_be_withdrawn_even_in_the_database(app: Flask, leo: UUID) -> None:
    asked = ask(app, leo)
    with desk(app):
        _answer(asked)
    with family(app):
        moved = db.session.execute(
            text("UPDATE appointment_requests SET state = 'withdrawn' WHERE id = :id RETURNING id"), {"id": asked}
        )
        assert moved.all() == []


def test_staff_cannot_ask_in_a_familys_name(app: Flask) -> None:
    with desk(app), pytest.raises(ProgrammingError), db.session.begin_nested():
        db.session.execute(
            text(
                "INSERT INTO appointment_requests (clinic_id, portal_user_id, patient_id, wish, state, asked_at) "
                "SELECT clinic_id, portal_user_id, patient_id, 'x', 'open', now() FROM appointment_requests"
            )
        )
