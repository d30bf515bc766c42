"""The Staff pages, and what each role finds in its menu.

Lost if it fails: a menu that leads nowhere, a page that is only hidden and not closed, or an admin who locks themselves
out with one press.
"""

import re
from html import unescape
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text

from admin_app import paging
from admin_app.guards import Person
from clinic import demo, staff
from clinic.staff import Right
from tenancy.database import db
from tests.inside import inside, member
from tests.visitor import Visitor

HOST = "http://admin.localhost:8000"
ROLES = {"ana": "admin", "ben": "billing", "fay": "front desk", "tom": "therapist"}
RECORDS = {"Home", "Patients", "Messages", "Appointment requests"}
MENUS = {
    "ana": RECORDS | {"Billing", "Clinic Options", "Payment Processing", "Portal Users", "Staff", "Audit log"},
    "ben": {"Home", "Billing"},
    "fay": RECORDS,
    "tom": RECORDS,
}


def visitor(app: Flask, name: str) -> Visitor:
    return Visitor(app, HOST).sign_in(f"{name}@elm.example", f"/{demo.ELM}")


def menu(page: str) -> dict[str, str]:
    """label → path of every entry of the navigation."""
    navigation = "".join(re.findall(r'<nav[^>]*aria-label="Main".*?</nav>', page, re.S))
    entries = re.findall(r'<a href="([^"]+)"[^>]*>([^<]+)', navigation)
    return {unescape(label): path for path, label in entries}


def links(page: str) -> set[str]:
    """Every page and form of the clinic that a page leads to."""
    return {unescape(each) for each in re.findall(rf'(?:href|action)="(/{demo.ELM}/[^"#?]*)', page)}


def dead_ends(app: Flask, name: str) -> list[str]:
    """Links, from the menu's pages on, that this person follows to a refusal."""
    person, found = visitor(app, name), []
    start = person.read(f"/{demo.ELM}/")
    pages = [person.get(path).text for path in menu(start).values()]
    for path in sorted(set().union(*map(links, [start, *pages]))):
        answer = person.get(path)
        answer.close()  # it may be a file
        if answer.status_code not in (200, 303, 405):  # 405: a form's address
            found.append(f"{path}: {answer.status_code}")
    return found


def id_of(app: Flask, name: str) -> str:
    with inside(app, demo.ELM):
        return str(member(f"{name}@elm.example").id)


@pytest.mark.parametrize("name", ROLES)
def test_each_role_s_menu_shows_exactly_what_it_may_open(app: Flask, name: str) -> None:
    person = visitor(app, name)
    shown = menu(person.read(f"/{demo.ELM}/"))
    assert set(shown) == MENUS[name]
    everything = menu(visitor(app, "ana").read(f"/{demo.ELM}/"))
    for label, path in everything.items():
        assert person.get(path).status_code == (200 if label in shown else 403), (name, label)


@pytest.mark.parametrize("name", ROLES)
def test_no_link_leads_a_role_to_a_refusal(app: Flask, name: str) -> None:
    assert dead_ends(app, name) == []


def test_planted_a_menu_that_shows_what_is_closed(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard that reads one thing and a menu that reads another."""
    may = Person.may
    closed = app.view_functions["admin.staff_list"]
    monkeypatch.setattr(closed, "needs", frozenset({Right.BILLING}))
    monkeypatch.setattr(Person, "may", lambda person, right: right != Right.BILLING and may(person, right))
    assert dead_ends(app, "ana")


def test_front_desk_is_not_offered_a_signature(app: Flask) -> None:
    with inside(app, demo.ELM):
        draft = "/".join(map(str, _draft()))
    for name, offered in (("fay", False), ("tom", True), ("ana", True)):
        page = visitor(app, name).read(f"/{demo.ELM}/patients/{draft}")
        assert ("/signing" in page) == offered, name


def _draft() -> tuple[object, str, object]:
    from_database = (
        "SELECT d.patient_id, d.id FROM documents d JOIN patients p ON (p.clinic_id, p.id) = (d.clinic_id, d.patient_id) "
        "WHERE p.name = 'Leo Lopez' AND d.status = 'draft'"
    )
    row = db.session.execute(text(from_database)).first()
    assert row
    return row[0], "documents", row[1]


def test_an_admin_invites_and_the_list_shows_it(app: Flask, ana: Visitor) -> None:
    ana.read(f"/{demo.ELM}/staff/new")
    form = {"name": "Nora New", "email": "nora@elm.example", "role": "therapist"}
    made = ana.post(f"/{demo.ELM}/staff/new", form)
    assert made.status_code == 303
    page = ana.read(made.headers["Location"])
    assert "Nora New" in page and "Invited" in page and "Send the invitation again" in page
    assert "Nora New" in ana.read(f"/{demo.ELM}/staff")
    again = ana.post(f"/{demo.ELM}/staff/new", form)
    assert again.status_code == 422 and "already there" in again.text and 'value="Nora New"' in again.text


@pytest.mark.parametrize("role", ["", "owner", "ADMIN", "admin "])
def test_a_role_that_is_none_is_refused_at_its_field(app: Flask, ana: Visitor, role: str) -> None:
    ana.read(f"/{demo.ELM}/staff/new")
    for path, more in (("new", {"name": "N", "email": "n@elm.example"}), (f"{id_of(app, 'fay')}/role", {})):
        answer = ana.post(f"/{demo.ELM}/staff/{path}", {**more, "role": role} if role else more)
        assert answer.status_code == 422 and "Choose a role." in answer.text
    with inside(app, demo.ELM):
        assert member("fay@elm.example").role == "front_desk"


def test_each_verb_says_what_it_did_and_a_second_press_says_why_not(app: Flask, ana: Visitor) -> None:
    fay, page = id_of(app, "fay"), f"/{demo.ELM}/staff/{id_of(app, 'fay')}"
    ana.read(page)
    pressed = [
        ("resending", {}, "Only an invitation that was not accepted yet"),
        ("password-reset", {}, "A link to choose a new password was sent"),
        ("role", {"role": "therapist"}, "The role is saved"),
        ("reactivation", {}, "is not deactivated"),
        ("deactivation", {}, "Deactivated."),
        ("deactivation", {}, "deactivated already"),
        ("password-reset", {}, "Only an active staff member"),
        ("reactivation", {}, "Reactivated"),
    ]
    for verb, form, said in pressed:
        answer = ana.post(f"{page}/{verb}", form)
        assert answer.status_code == 303 and answer.headers["Location"].endswith(fay)
        assert said in ana.read(page), verb


def test_an_invitation_is_sent_again_from_the_page(app: Flask, ana: Visitor) -> None:
    with inside(app, demo.ELM):
        nora = staff.invite(email="nora@elm.example", role=staff.StaffRole.BILLING, name="Nora").id
        staff.deactivate(nora)
        staff.reactivate(nora)
    page = f"/{demo.ELM}/staff/{nora}"
    shown = ana.read(page)
    assert "Expired" in shown and "Send the invitation again" in shown
    ana.post(f"{page}/resending")
    assert "was sent again" in ana.read(page)


def test_the_only_admin_is_offered_no_way_out_and_finds_none(app: Flask, ana: Visitor) -> None:
    mine = f"/{demo.ELM}/staff/{id_of(app, 'ana')}"
    page = ana.read(mine)
    assert "only active admin" in page and "/deactivation" not in page and "Save the role" not in page
    for verb, form in (("deactivation", {}), ("role", {"role": "billing"})):
        ana.post(f"{mine}/{verb}", form)
        assert "Make somebody else an admin first" in ana.read(mine)


def test_an_admin_who_steps_down_is_warned_and_signed_out(app: Flask, ana: Visitor) -> None:
    with inside(app, demo.ELM):
        staff.change_role(member("ben@elm.example").id, staff.StaffRole.ADMIN)
    mine = f"/{demo.ELM}/staff/{id_of(app, 'ana')}"
    assert "This is you." in ana.read(mine)
    assert ana.post(f"{mine}/role", {"role": "billing"}).status_code == 303
    assert "/sign-in" in ana.get(mine).headers["Location"]


def test_a_place_beyond_the_list_leads_back(ana: Visitor) -> None:
    after = paging.written(("zzzz", UUID(int=0)))
    assert "To its beginning" in ana.read(f"/{demo.ELM}/staff?after={after}")


def test_one_s_own_name_is_one_s_own_to_change(app: Flask) -> None:
    """What families read at a message: a new name after a wedding, without asking an admin; never an empty one."""
    fay, profile = visitor(app, "fay"), f"/{demo.ELM}/profile"
    assert 'value="Fay Fischer"' in fay.read(profile)
    refused = fay.post(profile, {"name": "  "})
    assert refused.status_code == 422 and "Enter your name." in refused.text
    assert fay.post(profile, {"name": "x" * 200}).status_code == 422
    assert fay.post(profile, {"name": "Fay Fisher-Field"}).headers["Location"] == profile
    assert "Fay Fisher-Field" in fay.read(profile)
