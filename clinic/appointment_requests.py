"""Appointment requests: a family asks for an appointment, the clinic books one and answers, or the family withdraws.

A request books nothing by itself. It belongs to the portal user who asked; another parent does not see it.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from flask_babel import lazy_gettext as _l
from sqlalchemy import CheckConstraint, Index, case, func, select, tuple_, update
from sqlalchemy.orm import Mapped

from clinic import actors, audit, plain_text, portal_settings, portal_users
from clinic.patients import Patient
from clinic.portal_users import PortalUser
from tenancy import clinics, clock, tenant
from tenancy.database import Base, ClinicOwned, db, one_of, same_clinic, text_up_to
from tenancy.errors import Conflict, NotFound, Refused

LONGEST_WISH = 500
LONGEST_ANSWER = 500
MOST_OPEN = 5  # of one portal user for one patient


class RequestState(StrEnum):
    OPEN = "open"
    ANSWERED = "answered"
    WITHDRAWN = "withdrawn"


# state → the states that may follow
MOVES = {
    RequestState.OPEN: frozenset({RequestState.ANSWERED, RequestState.WITHDRAWN}),
    RequestState.ANSWERED: frozenset(),
    RequestState.WITHDRAWN: frozenset(),
}
TOO_LATE = {
    RequestState.ANSWERED: _l("This request was answered already."),
    RequestState.WITHDRAWN: _l("This request was withdrawn already."),
}


class AppointmentRequest(ClinicOwned, Base):
    __tablename__ = "appointment_requests"
    __table_args__ = (
        same_clinic("portal_user_id", "portal_users"),
        same_clinic("patient_id", "patients"),
        same_clinic("answered_by_id", "staff_members"),
        one_of("state", RequestState),
        text_up_to("wish", LONGEST_WISH),
        text_up_to("answer", LONGEST_ANSWER),
        CheckConstraint("(state = 'open') = (ended_at IS NULL)", name="ended_when"),
        CheckConstraint("(state = 'answered') = (answer IS NOT NULL)", name="answered_what"),
        Index("ix_appointment_requests_patient", "clinic_id", "patient_id", "portal_user_id"),
        Index("ix_appointment_requests_open", "clinic_id", "asked_at", postgresql_where="state = 'open'"),
    )
    portal_user_id: Mapped[UUID]
    patient_id: Mapped[UUID]
    wish: Mapped[str]
    preferred_on: Mapped[date | None]
    state: Mapped[str]
    asked_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]  # answered or withdrawn
    answer: Mapped[str | None]
    answered_by_id: Mapped[UUID | None]


@dataclass(frozen=True)
class RequestRow:
    """A request as pages show it; `key` pages on. The portal user's name is for staff."""

    id: UUID
    portal_user_name: str
    patient_id: UUID
    patient_name: str
    wish: str
    preferred_on: date | None
    state: str
    asked_at: datetime
    ended_at: datetime | None
    answer: str | None
    key: str

    @property
    def is_open(self) -> bool:
        return self.state == RequestState.OPEN

    @property
    def cursor(self) -> tuple[str, UUID]:
        return self.key, self.id


# Sorts as text: what is open first, and within that the newest.
_key = (
    case((AppointmentRequest.state == RequestState.OPEN, "1"), else_="0")
    + func.to_char(func.timezone("UTC", AppointmentRequest.asked_at), "YYYY-MM-DD HH24:MI:SS.US")
).collate("C")
_ROWS: Any = (
    select(
        AppointmentRequest.id,
        PortalUser.name,
        AppointmentRequest.patient_id,
        Patient.name,
        AppointmentRequest.wish,
        AppointmentRequest.preferred_on,
        AppointmentRequest.state,
        AppointmentRequest.asked_at,
        AppointmentRequest.ended_at,
        AppointmentRequest.answer,
        _key,
    )
    .join(
        PortalUser,
        (PortalUser.clinic_id == AppointmentRequest.clinic_id) & (PortalUser.id == AppointmentRequest.portal_user_id),
    )
    .join(Patient, (Patient.clinic_id == AppointmentRequest.clinic_id) & (Patient.id == AppointmentRequest.patient_id))
    .order_by(_key.desc(), AppointmentRequest.id.desc())
)
_COUNT_OPEN = (
    select(func.count()).select_from(AppointmentRequest).where(AppointmentRequest.state == RequestState.OPEN)
)


def search(*, after: tuple[str, UUID] | None = None, limit: int = 50) -> list[RequestRow]:
    """Every request of the clinic, for staff: open ones first, then the newest."""
    statement = _ROWS.limit(limit)
    if after:
        statement = statement.where(tuple_(_key, AppointmentRequest.id) < tuple_(*after))
    return [RequestRow(*row) for row in db.session.execute(statement)]


def of_portal_user(patient_id: UUID) -> list[RequestRow]:
    """What the signed-in portal user asked for, for a patient."""
    statement = _ROWS.where(
        AppointmentRequest.patient_id == patient_id,
        AppointmentRequest.portal_user_id == tenant.current().portal_user_id,
    )
    return [RequestRow(*row) for row in db.session.execute(statement)]


def get(request_id: UUID) -> RequestRow:
    """For the signed-in portal user their own, for staff any of the clinic. Raises NotFound."""
    statement = _ROWS.where(AppointmentRequest.id == request_id)
    if me := tenant.current().portal_user_id:
        statement = statement.where(AppointmentRequest.portal_user_id == me)
    row = db.session.execute(statement).one_or_none()
    if row is None:
        raise NotFound("appointment request")
    return RequestRow(*row)


def count_open() -> int:
    return db.session.scalars(_COUNT_OPEN).one()


def ask(patient_id: UUID, wish: str, preferred_on: date | None = None) -> AppointmentRequest:
    """The signed-in portal user asks for an appointment. Raises NotFound, Refused."""
    me = tenant.current().portal_user_id
    if me is None or not portal_settings.get().allows_appointment_requests:
        raise NotFound("appointment requests")
    portal_users.get(me, lock=True)  # one at a time, so that the limit holds
    if not portal_users.sees_records(me, patient_id):
        raise NotFound("records")
    text = _checked(wish, LONGEST_WISH, _l("Say in 1 to 500 characters what you wish."), "wish")
    today = clock.today(clinics.current().time_zone)
    if preferred_on and preferred_on < today:
        raise Refused(_l("Choose a day that is still to come."), field="preferred_on")
    if preferred_on and preferred_on.year > today.year + 2:
        raise Refused(_l("Choose a day within the next two years."), field="preferred_on")
    mine = _COUNT_OPEN.where(
        AppointmentRequest.portal_user_id == me, AppointmentRequest.patient_id == patient_id
    )
    if db.session.scalars(mine).one() >= MOST_OPEN:
        raise Refused(_l("Five of your requests are still open. Wait for an answer, or withdraw one."))
    request = AppointmentRequest(
        id=uuid4(),
        portal_user_id=me,
        patient_id=patient_id,
        wish=text,
        preferred_on=preferred_on,
        state=RequestState.OPEN,
        asked_at=clock.now(),
    )
    db.session.add(request)
    db.session.flush()
    audit.record("appointment_request.asked", subject_id=request.id, patient_id=patient_id)
    return request


def answer(request_id: UUID, text: str) -> None:
    """Staff answer; the family reads it beside their wish. Raises NotFound, Refused, Conflict."""
    kept = _checked(text, LONGEST_ANSWER, _l("Answer in 1 to 500 characters."), "answer")
    _end(request_id, RequestState.ANSWERED, answer=kept, answered_by_id=actors.current().id)


def withdraw(request_id: UUID) -> None:
    """The portal user no longer wishes it. Raises NotFound, Conflict."""
    _end(request_id, RequestState.WITHDRAWN)


def _end(request_id: UUID, state: RequestState, **values: Any) -> None:
    found = get(request_id)
    allowed = [before for before, after in MOVES.items() if state in after]
    # In one statement: whoever answers and whoever withdraws at the same moment, one of them is first.
    moved = db.session.execute(
        update(AppointmentRequest)
        .where(AppointmentRequest.id == request_id, AppointmentRequest.state.in_(allowed))
        .values(state=state, ended_at=clock.now(), **values)
        .returning(AppointmentRequest.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if moved is None:
        raise Conflict(TOO_LATE.get(RequestState(get(request_id).state), TOO_LATE[RequestState.ANSWERED]))
    audit.record(f"appointment_request.{state}", subject_id=request_id, patient_id=found.patient_id)


def _checked(text: str, longest: int, sentence: Any, field: str) -> str:
    kept = plain_text.lines(text)
    if not 1 <= len(kept) <= longest:
        raise Refused(sentence, field=field)
    return kept
