"""What concerns one person follows one another: each verb holds the person until it is done, the link after the person.

Lost if it fails: two presses at once both count. Somebody deactivated at this moment gets a session all the same, a link
is used twice, or two of them wait for each other. (Raced for real in tests/attack/test_races.py, where a lock that is
gone is seen only as often as the race is lost.)
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, event

from clinic import demo, invitations, portal_users, sign_in
from clinic.portal_users import AccessDetails
from tenancy import clock
from tenancy.languages import Language
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.access import ANA, MARIA, access_of
from tests.inside import acting, contact, inside, member, patient, send_link, user

GRACE, GOOD, WHY = "grace@family.example", "eleven quiet green lamps", "A court said so"
USER, MEMBER, LINK, ACCESS = "portal_users", "staff_members", "mailed_links", "portal_access"
LOCKING = re.compile(r"FROM (\w+).* FOR NO KEY UPDATE", re.DOTALL)


@contextmanager
def locks() -> Iterator[list[str]]:
    """The tables of which rows are locked in this block, in their order."""
    held: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if found := LOCKING.search(statement):
            held.append(found[1])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield held
    finally:
        event.remove(Engine, "before_cursor_execute", note)


AT_THE_DESK: dict[str, tuple[Callable[[], object], list[str]]] = {
    "deactivate": (lambda: portal_users.deactivate(user(MARIA).id), [USER]),
    "change_self": (lambda: portal_users.change_self(user(MARIA).id, "Maria", "", Language.ENGLISH), [USER]),
    "unlink": (lambda: portal_users.unlink(access_of(MARIA, "Leo Lopez").id), [ACCESS, USER]),
    "change_access": (lambda: portal_users.change_access(access_of(MARIA, "Leo Lopez").id, AccessDetails(True, False), WHY), [ACCESS]),
    "mark_guardian": (
        lambda: portal_users.mark_guardian(contact("Maria Lopez").id, patient("Leo Lopez").id, True, WHY),
        ["relationships", ACCESS],
    ),
    "resend": (lambda: invitations.resend(user(GRACE).id), [USER]),
    "start_reset": (lambda: sign_in.start_reset(member(ANA).holder), [MEMBER]),
}  # fmt: skip


@pytest.mark.parametrize("verb", AT_THE_DESK)
def test_staff_hold_whom_they_change(app: Flask, verb: str) -> None:
    act, expected = AT_THE_DESK[verb]
    with clock.moved(timedelta(minutes=6)), inside(app, demo.ELM), acting(ANA), locks() as held:
        act()
    assert held == expected


def test_a_reactivation_holds_the_person_too(app: Flask) -> None:
    with inside(app, demo.ELM), acting(ANA):
        portal_users.deactivate(user(MARIA).id)
        with locks() as held:
            portal_users.reactivate(user(MARIA).id)
    assert held == [USER]


AT_THE_DOOR: dict[str, tuple[Callable[[], object], list[str]]] = {
    "portal_user": (lambda: sign_in.portal_user(MARIA, demo.PASSWORD), [USER]),
    "staff_member": (lambda: sign_in.staff_member(ANA, demo.PASSWORD), [MEMBER]),
    "ask_for_reset": (lambda: sign_in.ask_for_reset(MARIA, of_staff=False), [USER]),
    "ask_for_reset of staff": (lambda: sign_in.ask_for_reset(ANA, of_staff=True), [MEMBER]),
    "change_password": (lambda: sign_in.change_password(user(MARIA).holder, present=demo.PASSWORD, new=GOOD), [USER]),
}  # fmt: skip


@pytest.mark.parametrize("verb", AT_THE_DOOR)
def test_who_comes_in_is_held(app: Flask, verb: str) -> None:
    act, expected = AT_THE_DOOR[verb]
    with inside(app, demo.ELM, Role.DOOR), locks() as held:
        act()
    assert held == expected


LINKS: dict[str, tuple[Purpose, Callable[[str], object], list[str]]] = {
    "accept": (
        Purpose.INVITATION,
        lambda key: invitations.accept(key, birth_on=date(2019, 11, 5), password=GOOD, language=Language.ENGLISH),
        [USER, LINK],
    ),
    "renew": (Purpose.INVITATION, invitations.renew, [USER, LINK]),
    "reset": (Purpose.PASSWORD_RESET, lambda key: sign_in.reset(Purpose.PASSWORD_RESET, key, GOOD), [USER, LINK]),
    "accept_staff_invitation": (
        Purpose.STAFF_INVITATION,
        lambda key: sign_in.accept_staff_invitation(key, name="Nora New", password=GOOD),
        [MEMBER, LINK],
    ),
    "carry_out_reset": (
        Purpose.STAFF_SIGN_IN_RESET,
        lambda key: sign_in.carry_out_reset(Purpose.STAFF_SIGN_IN_RESET, key, code="0", password=GOOD),
        [MEMBER, LINK],
    ),
    "look": (Purpose.PASSWORD_RESET, lambda key: sign_in.look(Purpose.PASSWORD_RESET, key), []),
    "look at an invitation": (Purpose.INVITATION, invitations.look, []),
    "account_of": (Purpose.PASSWORD_RESET, lambda key: sign_in.account_of(Purpose.PASSWORD_RESET, key), []),
}  # fmt: skip


@pytest.mark.parametrize("verb", LINKS)
def test_a_person_is_held_before_their_link_and_a_look_holds_nobody_up(app: Flask, verb: str) -> None:
    purpose, act, expected = LINKS[verb]
    key = send_link(app, demo.ELM, purpose)
    with inside(app, demo.ELM, Role.DOOR), locks() as held:
        act(key)
    assert held == expected
