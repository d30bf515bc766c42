"""Two presses at once: people and their links are locked in one order, so one follows the other.

Lost if it fails: a double click locks somebody out, a deactivated person stays in, an old password outlives its reset.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from threading import Barrier
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import func, select

from clinic import credentials, demo, invitations, portal_users, sessions, sign_in, staff
from clinic.credentials import Password
from clinic.mailed_links import MailedLink
from clinic.portal_users import PortalUserState
from clinic.sessions import SignInSession
from clinic.staff import StaffMember, StaffRole
from clinic.staff import verbs as staff_verbs
from tenancy import clock, provisioning
from tenancy.clinics import ClinicAddress
from tenancy.database import db
from tenancy.errors import PorticoError
from tenancy.languages import Language
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.inside import acting, inside, member, secret, user

MARIA, GRACE = "maria@family.example", "grace@family.example"
NEW = "another long walk by the sea"


def at_once(*works: Callable[[], object]) -> list[object]:
    """Run them side by side from one moment; returns results or the refusals they ended in."""
    gate = Barrier(len(works))

    def run(work: Callable[[], object]) -> object:
        gate.wait()
        try:
            return work()
        except PorticoError as refusal:
            return refusal

    with ThreadPoolExecutor(len(works)) as pool:
        return [each.result(timeout=30) for each in [pool.submit(run, work) for work in works]]


def _change_password(app: Flask) -> None:
    with inside(app, demo.ELM, Role.DOOR):
        sign_in.change_password(user(MARIA).holder, present=demo.PASSWORD, new=NEW)


def check_one_password_is_left(app: Flask) -> None:
    at_once(*[lambda: _change_password(app)] * 3)
    with inside(app, demo.ELM, Role.DOOR):
        maria = user(MARIA)
        kept = select(func.count()).select_from(Password).where(Password.portal_user_id == maria.id)
        assert db.session.scalars(kept).one() == 1
        assert sign_in.portal_user(MARIA, NEW).token


def test_changing_a_password_three_times_at_once_leaves_one(committed_app: Flask) -> None:
    check_one_password_is_left(committed_app)


def test_resending_twice_at_once_leaves_one_open_link(committed_app: Flask) -> None:
    def resend() -> None:
        with clock.moved(timedelta(minutes=6)), inside(committed_app, demo.ELM):
            invitations.resend(user(GRACE).id)

    ended = at_once(resend, resend)
    assert sum(isinstance(each, PorticoError) for each in ended) == 1
    with inside(committed_app, demo.ELM):
        links = select(func.count()).select_from(MailedLink).where(
            MailedLink.portal_user_id == user(GRACE).id, MailedLink.ended_at.is_(None)
        )
        assert db.session.scalars(links).one() == 1


@pytest.mark.parametrize("turn", range(3))
def test_deactivating_somebody_who_is_just_accepting_lets_nobody_stay(committed_app: Flask, turn: int) -> None:
    mailed = secret(committed_app, demo.ELM, Purpose.INVITATION)
    born = date(2019, 11, 5)

    def accept() -> None:
        with inside(committed_app, demo.ELM, Role.DOOR):
            invitations.accept(mailed, birth_on=born, password=NEW, language=Language.ENGLISH)

    def deactivate() -> None:
        with inside(committed_app, demo.ELM):
            portal_users.deactivate(user(GRACE).id)

    at_once(accept, deactivate)
    with inside(committed_app, demo.ELM):
        grace = user(GRACE)
        assert portal_users.row_of(grace.id).state == PortalUserState.DEACTIVATED
        live = select(func.count(SignInSession.id)).where(
            SignInSession.portal_user_id == grace.id, SignInSession.ended_at.is_(None)
        )
        assert db.session.scalars(live).one() == 0


def test_an_old_password_does_not_outlive_a_reset_that_overlaps(
    committed_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    with inside(committed_app, demo.ELM, Role.DOOR):
        sign_in.ask_for_reset(MARIA, of_staff=False)
    mailed = secret(committed_app, demo.ELM, Purpose.PASSWORD_RESET)

    def old() -> object:
        with inside(committed_app, demo.ELM, Role.DOOR):
            return sign_in.portal_user(MARIA, demo.PASSWORD).token

    def reset() -> object:
        with inside(committed_app, demo.ELM, Role.DOOR):
            return sign_in.reset(Purpose.PASSWORD_RESET, mailed, NEW)

    token, _state = at_once(old, reset)
    with inside(committed_app, demo.ELM, Role.DOOR):
        assert token is None or sessions.find_live(str(token)) is None
        assert credentials.is_right(user(MARIA).holder, NEW)


def check_one_admin_is_left(app: Flask) -> None:
    """Ana demotes Ben while Ben demotes Ana."""
    with inside(app, demo.ELM):
        staff.change_role(member("ben@elm.example").id, StaffRole.ADMIN)

    def demote(actor: str, other: str, verb: Callable[[UUID], None]) -> Callable[[], None]:
        def work() -> None:
            with inside(app, demo.ELM), acting(actor):
                verb(member(other).id)

        return work

    ana, ben = "ana@elm.example", "ben@elm.example"
    ended = at_once(
        demote(ana, ben, lambda each: staff.change_role(each, StaffRole.BILLING)), demote(ben, ana, staff.deactivate)
    )
    with inside(app, demo.ELM):
        assert len(staff.admins()) == 1
    assert sum(isinstance(each, PorticoError) for each in ended) == 1


@pytest.mark.parametrize("turn", range(3))
def test_two_admins_who_demote_each_other_at_once_leave_one(committed_app: Flask, turn: int) -> None:
    check_one_admin_is_left(committed_app)


def test_planted_admins_are_counted_without_waiting(committed_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both count two, and neither is left."""
    counted = Barrier(2)

    def hasty(staff_member_id: UUID) -> tuple[StaffMember, bool]:
        is_only = staff.row_of(staff_member_id).is_only_admin
        if threading.current_thread() is not threading.main_thread():
            counted.wait(timeout=20)
        return staff.get(staff_member_id, lock=True), is_only

    monkeypatch.setattr(staff_verbs, "_among_admins", hasty)
    with pytest.raises(AssertionError):
        check_one_admin_is_left(committed_app)


def test_one_address_invited_twice_at_once_is_one_member(committed_app: Flask) -> None:
    def invite() -> None:
        with inside(committed_app, demo.ELM):
            staff.invite(email="nora@elm.example", role=StaffRole.BILLING, name="Nora")

    ended = at_once(invite, invite)
    assert sum(isinstance(each, PorticoError) for each in ended) == 1


def test_two_renames_at_once_follow_one_another(committed_app: Flask) -> None:
    def rename(slug: str) -> Callable[[], object]:
        def work() -> object:
            with inside(committed_app, demo.OAK, Role.OPERATOR):
                return provisioning.rename(slug)

        return work

    ended = at_once(rename("oak-lane"), rename("oak-court"))
    assert set(ended) in ({demo.OAK, "oak-lane"}, {demo.OAK, "oak-court"})  # each took over what the other left
    with inside(committed_app, demo.OAK, Role.OPERATOR):
        current = db.session.scalars(select(ClinicAddress.slug).where(ClinicAddress.retired_at.is_(None))).all()
        assert len(current) == 1 and current[0] in ("oak-lane", "oak-court")
