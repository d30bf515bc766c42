"""T12: a mailed link is good for one use, by one person, for one purpose, for its time; looking changes nothing.

Lost if it fails: a mail scanner accepts an invitation before the family does, a forwarded or stolen letter opens a
child's record, or a link that the clinic took back still lets somebody in.
"""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from clinic import demo, invitations, mailed_links, patients, portal_settings, portal_users, sign_in
from clinic.mailed_links import LASTS, LinkState
from clinic.patients import PatientDetails, PatientStatus
from clinic.sign_in import people
from tenancy import clock
from tenancy.database import db
from tenancy.link_tokens import ON_ADMIN_HOST, Purpose
from tenancy.tenant import Role
from tests.conftest import BASE, PORT
from tests.inside import ADDRESSEES, EMAIL_CHANGES, inside, member, path_of, patient, send_link, user
from tests.visitor import Visitor

ELM_HOST, OAK_HOST, ADMIN_HOST, NEW_HOST = (
    f"http://{name}.{BASE}:{PORT}" for name in (demo.ELM, demo.OAK, "admin", "elm-lane")
)
NEW_PASSWORD = "eleven quiet green lamps"
FORM = {"birth_on": "2019-11-05", "password": NEW_PASSWORD, "name": "Nora New"}
SCANNERS = ("Mozilla/5.0 (compatible; SafeLinks)", "Barracuda Sentinel (EE)", "MailPreview/605.1.15", "")
# All that a link can change, by who may read it.
WATCHED = {
    Role.DOOR: ("mailed_links", "sessions", "passwords", "portal_users", "staff_members", "letterheads"),
    Role.STAFF: ("letters", "audit_entries"),
}
BOTH = (Purpose.INVITATION, Purpose.PASSWORD_RESET)
RESETS = (Purpose.SIGN_IN_RESET, Purpose.STAFF_SIGN_IN_RESET)


def visitor(app: Flask, purpose: Purpose, host: str = ELM_HOST) -> Visitor:
    return Visitor(app, ADMIN_HOST if purpose in ON_ADMIN_HOST else host)


def page_of(purpose: Purpose, slug: str = demo.ELM) -> str:
    return path_of(slug, purpose, "").rstrip("/")


def contents(app: Flask) -> list[str]:
    """Every row that a link can change at Elm Street."""
    rows = []
    for role, tables in WATCHED.items():
        with inside(app, demo.ELM, role):
            for table in tables:
                rows += sorted(f"{table} {row}" for row in db.session.execute(text(f"SELECT * FROM {table}")))
    return rows


def use(app: Flask, purpose: Purpose, path: str, host: str = ELM_HOST, slug: str = demo.ELM) -> TestResponse:
    """Follow a link as its person does, and press the button."""
    person = visitor(app, purpose, host)
    person.get(path)
    if purpose in EMAIL_CHANGES:
        person.sign_in(ADDRESSEES[purpose], f"/{slug}" if purpose in ON_ADMIN_HOST else "")
    looked = person.get(page_of(purpose, slug))
    if purpose is Purpose.INVOICE:  # there is nothing to press
        return looked
    person.get(f"/{slug}/sign-in" if purpose in ON_ADMIN_HOST else "/sign-in")  # a form token even where the page has no form
    return person.post(page_of(purpose, slug), FORM | told(app, purpose))


def told(app: Flask, purpose: Purpose) -> dict[str, str]:
    """What the clinic tells whoever it resets, beside the link."""
    if purpose not in RESETS:
        return {}
    with inside(app, demo.ELM):
        person = (member if purpose in ON_ADMIN_HOST else user)(ADDRESSEES[purpose])
        opened = sign_in.find_open_reset(person.holder)
    return {"code": opened.code if opened else "00000000"}


def worked(purpose: Purpose, answer: TestResponse) -> bool:
    return answer.status_code == (200 if purpose in (Purpose.REPLY_TO, Purpose.INVOICE) else 303)


# Scanners ---------------------------------------------------------------------------------------------------------


def check_scanners_change_nothing(app: Flask, purpose: Purpose, times: int) -> None:
    path = path_of(demo.ELM, purpose, send_link(app, demo.ELM, purpose))
    before = contents(app)
    keeps_cookies = visitor(app, purpose)
    for number in range(times):
        scanner = keeps_cookies if number % 2 else visitor(app, purpose)
        headers = {"User-Agent": SCANNERS[number % len(SCANNERS)]}
        for ask in (scanner.get, scanner.head):
            assert ask(path, headers=headers).status_code == 303
            # Moving one's own address asks for a sign-in before it shows anything.
            assert ask(page_of(purpose), headers=headers).status_code == (303 if purpose in EMAIL_CHANGES else 200)
    assert contents(app) == before
    assert worked(purpose, use(app, purpose, path))


@pytest.mark.parametrize("purpose", Purpose)
def test_a_mail_scanner_never_uses_up_a_familys_link(app: Flask, purpose: Purpose) -> None:
    check_scanners_change_nothing(app, purpose, 50 if purpose is Purpose.INVITATION else 6)


def test_planted_a_look_that_uses_the_link_up(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(secret: str) -> invitations.Invitation:
        seen = look(secret)
        found = mailed_links.find(Purpose.INVITATION, secret)
        assert found is not None
        mailed_links.use(found)
        return seen

    look = invitations.look
    monkeypatch.setattr(invitations, "look", greedy)
    with pytest.raises(AssertionError):
        check_scanners_change_nothing(app, Purpose.INVITATION, 1)


# Links that are over ----------------------------------------------------------------------------------------------

Ending = Callable[[Flask, Purpose, str], timedelta | None]


def used(app: Flask, purpose: Purpose, path: str) -> None:
    assert worked(purpose, use(app, purpose, path))


def expired_by_a_second(app: Flask, purpose: Purpose, path: str) -> timedelta:
    return LASTS[purpose] + timedelta(seconds=1)


def superseded(app: Flask, purpose: Purpose, path: str) -> None:
    send_link(app, demo.ELM, purpose)


def unlinked(app: Flask, purpose: Purpose, path: str) -> None:
    with inside(app, demo.ELM):
        for access in portal_users.access_of(user(ADDRESSEES[purpose]).id):
            portal_users.unlink(access.id)


def discharged(app: Flask, purpose: Purpose, path: str) -> None:
    with inside(app, demo.ELM):
        sam = patient("Sam Grant")
        patients.change(sam.id, PatientDetails(sam.name, sam.birth_on, status=PatientStatus.INACTIVE))


def deactivated(app: Flask, purpose: Purpose, path: str) -> None:
    with inside(app, demo.ELM):
        portal_users.deactivate(user(ADDRESSEES[purpose]).id)


def address_changed(app: Flask, purpose: Purpose, path: str) -> None:
    with inside(app, demo.ELM):
        holder = user(ADDRESSEES[purpose])
        holder.email = holder.email_norm = "elsewhere@family.example"


def password_changed(app: Flask, purpose: Purpose, path: str) -> None:
    holder = visitor(app, purpose).sign_in(ADDRESSEES[purpose])
    answer = holder.post("/profile/password", {"present": demo.PASSWORD, "password": "fourteen slow red trams"})
    assert answer.status_code == 303


def renamed(app: Flask, purpose: Purpose, path: str) -> None:
    with inside(app, demo.ELM):
        portal_settings.rename_portal("elm-lane")


OVER = [
    *((purpose, ending) for purpose in BOTH for ending in (used, expired_by_a_second, superseded, deactivated, address_changed, renamed)),
    (Purpose.INVITATION, unlinked),
    (Purpose.INVITATION, discharged),
    (Purpose.PASSWORD_RESET, password_changed),
    *((Purpose.SIGN_IN_RESET, ending) for ending in (used, expired_by_a_second, superseded, deactivated)),
]  # fmt: skip


def check_is_over(app: Flask, purpose: Purpose, ending: Ending) -> None:
    path = path_of(demo.ELM, purpose, send_link(app, demo.ELM, purpose))
    later = ending(app, purpose, path)
    with clock.moved(later or timedelta(0)):
        check_opens_nothing(app, purpose, path, NEW_HOST if ending is renamed else ELM_HOST)


def check_opens_nothing(app: Flask, purpose: Purpose, path: str, host: str = ELM_HOST) -> None:
    def what_opens() -> list[str]:
        return [row for row in contents(app) if row.startswith(("sessions", "passwords"))]

    before = what_opens()
    person = visitor(app, purpose, host)
    assert person.get(path).status_code == 303
    assert person.get(page_of(purpose)).status_code in (404, 410)
    assert use(app, purpose, path, host).status_code in (404, 410)
    assert what_opens() == before
    assert person.get("/").status_code == 303  # signed out


@pytest.mark.parametrize(("purpose", "ending"), OVER, ids=lambda each: getattr(each, "__name__", each))
def test_a_link_that_is_over_lets_nobody_in(app: Flask, purpose: Purpose, ending: Ending) -> None:
    check_is_over(app, purpose, ending)


@pytest.mark.parametrize(("purpose", "ending"), OVER, ids=lambda each: getattr(each, "__name__", each))
def test_planted_links_that_are_always_good(
    app: Flask, monkeypatch: pytest.MonkeyPatch, purpose: Purpose, ending: Ending
) -> None:
    monkeypatch.setattr(invitations, "_state", lambda link, user: LinkState.GOOD)
    monkeypatch.setattr(people, "state_of", lambda link, person: LinkState.GOOD)
    with pytest.raises(AssertionError):
        check_is_over(app, purpose, ending)


@pytest.mark.parametrize("purpose", BOTH)
def test_a_link_works_until_the_last_moment(app: Flask, purpose: Purpose) -> None:
    """A family who opens the letter on its last evening still gets in."""
    path = path_of(demo.ELM, purpose, send_link(app, demo.ELM, purpose))
    with clock.moved(LASTS[purpose] - timedelta(seconds=30)):
        assert worked(purpose, use(app, purpose, path))


def test_a_letter_for_the_old_address_leads_to_the_new_one_without_its_secret(app: Flask) -> None:
    """A family with an old letter lands on the clinic's present host, where a new link can be asked for."""
    path = path_of(demo.ELM, Purpose.INVITATION, send_link(app, demo.ELM, Purpose.INVITATION))
    renamed(app, Purpose.INVITATION, path)
    answer = Visitor(app, ELM_HOST).get(path)
    assert answer.headers["Location"] == f"{NEW_HOST}/link/invitation"
    assert "Set-Cookie" not in answer.headers
    assert "Type your e-mail address" in Visitor(app, NEW_HOST).get("/link/invitation").text


def test_an_expired_invitation_is_renewed_to_the_same_address_only(app: Flask) -> None:
    """Whoever finds an old letter can only have a new one mailed to the family."""
    path = path_of(demo.ELM, Purpose.INVITATION, send_link(app, demo.ELM, Purpose.INVITATION))
    with clock.moved(timedelta(days=8)):
        finder = Visitor(app, ELM_HOST)
        finder.get(path)
        assert "Mail me a new link" in finder.get("/link/invitation").text
        assert finder.post("/link/invitation/renewal", {"email": "thief@evil.example"}).status_code == 303
        check_opens_nothing(app, Purpose.INVITATION, path)
    with inside(app, demo.ELM, Role.MAILER):
        addresses = [row[0] for row in db.session.execute(text("SELECT to_address FROM letters ORDER BY posted_at"))]
    assert addresses[-1] == "grace@family.example"
    assert "thief@evil.example" not in addresses
