"""The pages on which staff change what somebody sees of a patient, hold it up, forbid it, and lift that again.

Lost if it fails: a court's decision cannot be entered, is entered without its reason, or a lesser role undoes it.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import select

from admin_app import portal_access
from clinic import demo, patients
from clinic.patients import PatientDetails
from clinic.portal_users import AccessHold, HoldKind
from tenancy import clock
from tenancy.database import db
from tenancy.errors import Conflict
from tests.access import MARIA, access_of
from tests.house.route_map import seen
from tests.inside import contact, inside, patient, user
from tests.visitor import Visitor

WHY = "Court of May 3"


@pytest.fixture
def fay(app: Flask) -> Visitor:
    """Fay, at Elm Street's front desk, signed in."""
    return Visitor(app, "http://admin.localhost:8000").sign_in("fay@elm.example", f"/{demo.ELM}")


@pytest.fixture
def leos(app: Flask) -> Iterator[str]:
    """The address of Leo's pages."""
    with inside(app, demo.ELM):
        leo = patient("Leo Lopez").id
    yield f"/{demo.ELM}/patients/{leo}"


def access_page(app: Flask, leos: str) -> str:
    with inside(app, demo.ELM):
        return f"{leos}/portal-access/{access_of(MARIA, 'Leo Lopez').id}"


def lifting_page(app: Flask, leos: str, kind: HoldKind) -> str:
    with inside(app, demo.ELM):
        held = db.session.scalars(select(AccessHold.id).where(AccessHold.kind == kind)).one()
    return f"{leos}/{'custody-blocks' if kind == HoldKind.CUSTODY else 'holds'}/{held}/lifting"


def test_access_is_changed_and_the_family_sees_it_on_the_next_page(
    app: Flask, fay: Visitor, maria: Visitor, leos: str
) -> None:
    page = access_page(app, leos)
    with inside(app, demo.ELM) as clinic:
        ends_on = clock.today(clinic.time_zone) + timedelta(days=3)
    assert "Access of Maria Lopez" in fay.read(page) and page in fay.read(f"{leos}/contacts")
    sent = {"records": "y", "ends_on": ends_on.isoformat(), "reason": WHY}
    answer = fay.post(page, sent)
    assert (answer.status_code, answer.headers["Location"]) == (303, page)
    shown = fay.read(page)
    assert f'value="{ends_on.isoformat()}"' in shown and WHY in shown and "until" in fay.read(f"{leos}/contacts")
    assert "Leo" in maria.read("/")
    with inside(app, demo.ELM):
        leo = patient("Leo Lopez").id
    assert maria.get(f"/patients/{leo}/billing").status_code == 404
    assert maria.get(f"/patients/{leo}/documents").status_code == 200


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ({"records": "y", "reason": ""}, "Say why"),
        ({"records": "y", "ends_on": "2001-01-31", "reason": WHY}, "Choose today or a day to come."),
        ({"records": "y", "ends_on": "soon", "reason": WHY}, "Enter a date such as"),
    ],
)
def test_a_refused_change_says_what_to_do_and_keeps_what_was_typed(
    app: Flask, fay: Visitor, leos: str, sent: dict[str, str], says: str
) -> None:
    fay.read(access_page(app, leos))
    answer = fay.post(access_page(app, leos), sent)
    assert answer.status_code == 422 and says in answer.text
    assert f'value="{sent.get("ends_on", "")}"' in answer.text and "checked" in answer.text


def test_nothing_left_to_see_is_unlinked(app: Flask, fay: Visitor, leos: str) -> None:
    page = access_page(app, leos)
    fay.read(page)
    assert fay.post(page, {"reason": WHY}).headers["Location"] == f"{leos}/contacts"
    assert "Unlinked" in fay.read(f"{leos}/contacts")
    assert fay.get(page).status_code == 404


def test_two_desks_the_second_is_told(app: Flask, fay: Visitor, leos: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The access was ended between the page's look and its change."""

    def too_late(*_all: object) -> None:
        raise Conflict("This access was ended already.")

    page = access_page(app, leos)
    fay.read(page)
    monkeypatch.setattr(portal_access.portal_users, "change_access", too_late)
    assert fay.post(page, {"records": "y", "reason": WHY}).headers["Location"] == f"{leos}/contacts"
    assert "ended already" in fay.read(f"{leos}/contacts")


def test_a_hold_is_placed_shown_and_lifted(app: Flask, fay: Visitor, maria: Visitor, leos: str) -> None:
    page = access_page(app, leos)
    fay.read(page)
    assert "Say why" in fay.post(f"{page}/hold", {"hold_reason": ""}).text
    refused = fay.post(f"{page}/hold", {"hold_reason": WHY, "until_on": "2001-01-31"})
    assert refused.status_code == 422 and "Choose today or a day to come." in refused.text and WHY in refused.text
    assert fay.post(f"{page}/hold", {"hold_reason": WHY}).status_code == 303
    assert "Leo" not in maria.read("/")
    for shown in (page, f"{leos}/contacts"):
        assert WHY in fay.read(shown) and "until it is lifted" in fay.read(shown) and "Suspended" in fay.read(shown)
    fay.post(f"{page}/hold", {"hold_reason": WHY})
    assert "on hold already" in fay.read(page)
    lifting = lifting_page(app, leos, HoldKind.HOLD)
    assert WHY in fay.read(lifting)
    assert fay.post(lifting, {"reason": ""}).status_code == 422
    assert fay.post(lifting, {"reason": "Papers came"}).status_code == 303
    assert "Leo" in maria.read("/")
    fay.post(lifting, {"reason": "Papers came"})
    assert "lifted already" in fay.read(f"{leos}/contacts")
    assert "This was lifted on" in fay.read(lifting)


def test_whoever_keeps_records_places_a_custody_block_and_an_admin_lifts_it(
    app: Flask, fay: Visitor, ana: Visitor, maria: Visitor, leos: str
) -> None:
    page = f"{leos}/custody-blocks/new"
    with inside(app, demo.ELM):
        maria_id, omar_id, leo = contact("Maria Lopez").id, contact("Omar Haddad").id, patient("Leo Lopez").id
    assert f'selected value="{maria_id}"' in fay.read(f"{page}?contact={maria_id}")
    for sent, says in (
        ({"reason": WHY}, "Choose a contact or enter an e-mail address."),
        ({"contact_id": str(omar_id), "reason": WHY}, "Not a valid choice"),
        ({"contact_id": str(maria_id), "reason": ""}, "Say why"),
        ({"email": "no address", "reason": WHY}, "Enter an e-mail address such as"),
    ):
        answer = fay.post(page, sent)
        assert answer.status_code == 422 and says in answer.text, says
    assert fay.post(page, {"contact_id": str(maria_id), "reason": WHY}).status_code == 303
    again = fay.post(page, {"contact_id": str(maria_id), "reason": WHY})
    assert again.status_code == 422 and "already" in again.text
    shown = fay.read(f"{leos}/contacts")
    assert WHY in shown and "Custody block" in shown and "Suspended" in shown
    nothing = seen(maria.get(f"/patients/{uuid4()}/"), {})
    assert seen(maria.get(f"/patients/{leo}/"), {}) == nothing and nothing[0] == 404
    lifting = lifting_page(app, leos, HoldKind.CUSTODY)
    assert lifting not in shown and fay.get(lifting).status_code == 403
    assert fay.post(lifting, {"reason": WHY}).status_code == 403
    assert lifting in ana.read(f"{leos}/contacts") and WHY in ana.read(lifting)
    assert ana.post(lifting, {"reason": "Agreed in court"}).status_code == 303
    assert "Leo" in maria.read("/")


def test_a_guardian_is_marked_at_the_contact_and_the_mark_taken_back(app: Flask, fay: Visitor, leos: str) -> None:
    with inside(app, demo.ELM):
        maria_id, omar_id = contact("Maria Lopez").id, contact("Omar Haddad").id
    page = f"{leos}/contacts/{maria_id}"
    assert "Mark as guardian for an adult" in fay.read(page)
    refused = fay.post(f"{page}/guardianship", {"is_guardian": "y", "reason": ""})
    assert refused.status_code == 422 and "Say why" in refused.text and 'value="Maria Lopez"' in refused.text
    assert fay.post(f"{page}/guardianship", {"is_guardian": "y", "reason": WHY}).headers["Location"] == page
    assert WHY in fay.read(page) and "Take the mark back" in fay.read(page)
    assert "Guardian for an adult" in fay.read(f"{leos}/contacts")
    assert "Marked as guardian" in fay.read(access_page(app, leos))
    assert fay.post(f"{page}/guardianship", {"is_guardian": "", "reason": "Revoked"}).status_code == 303
    assert "Mark as guardian for an adult" in fay.read(page)
    assert fay.post(f"{leos}/contacts/{omar_id}/guardianship", {"is_guardian": "y", "reason": WHY}).status_code == 404


def test_who_comes_of_age_stands_on_the_start_page_the_list_and_the_patients_page(
    app: Flask, ana: Visitor, leos: str
) -> None:
    assert "Nobody comes of age" in ana.read(f"/{demo.ELM}/coming-of-age")
    assert "of age" not in ana.read(f"/{demo.ELM}/")
    with inside(app, demo.ELM) as clinic:
        day = clock.today(clinic.time_zone) + timedelta(days=9)
        born = date(day.year - 18, day.month, 28 if (day.month, day.day) == (2, 29) else day.day)
        patients.change(patient("Leo Lopez").id, PatientDetails("Leo Lopez", born))
    assert "1 patient comes of age within 30 days" in ana.read(f"/{demo.ELM}/")
    assert "1 caregiver will lose the records" in ana.read(f"/{demo.ELM}/coming-of-age")
    assert "This patient comes of age on" in ana.read(f"{leos}/contacts")


def test_the_clinics_own_age_is_saved_and_shown(app: Flask, ana: Visitor) -> None:
    page = f"/{demo.ELM}/clinic-options/portal-settings"
    assert "Patients are of age at" in ana.read(page)
    sent = {"slug": demo.ELM, "reply_to": "desk@elm.example", "of_age_years": "16"}
    assert ana.post(page, sent).status_code == 303
    assert "<dd>16</dd>" in ana.read(f"/{demo.ELM}/clinic-options")
    for years in ("12", "22", "x"):
        assert ana.post(page, {**sent, "of_age_years": years}).status_code == 422
    del sent["of_age_years"]
    assert ana.post(page, sent).status_code == 303  # a page from before: what is kept stays
    assert "<dd>16</dd>" in ana.read(f"/{demo.ELM}/clinic-options")


def test_the_portal_users_page_leads_to_their_access(app: Flask, ana: Visitor, leos: str) -> None:
    with inside(app, demo.ELM):
        maria = user(MARIA).id
    assert access_page(app, leos) in ana.read(f"/{demo.ELM}/portal-users/{maria}")
