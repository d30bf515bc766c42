"""The staff's pages for messages and appointment requests, and the two switches."""

import re

import pytest
from flask import Flask
from sqlalchemy import text

from clinic import demo
from tenancy.database import db
from tests.inside import inside, patient
from tests.visitor import Visitor

ELM = f"/{demo.ELM}"
SETTINGS = f"{ELM}/clinic-options/portal-settings"


@pytest.fixture
def leo(app: Flask) -> str:
    with inside(app, demo.ELM):
        return f"{ELM}/patients/{patient('Leo Lopez').id}"


def first_link(page: str, below: str) -> str:
    return re.search(rf'href="({ELM}/{below}/[0-9a-f-]{{36}})"', page)[1]


def test_the_switches_are_saved_shown_and_recorded(app: Flask, ana: Visitor) -> None:
    """An administrator would not know what families can do, or who changed it."""
    page = ana.read(SETTINGS)
    assert re.search(r'name="allows_messages" value="y" checked', page)
    assert ana.post(SETTINGS, {"slug": demo.ELM, "allows_appointment_requests": "y"}).status_code == 303
    page = ana.read(SETTINGS)
    assert 'name="allows_messages" value="y" checked' not in page
    assert 'name="allows_appointment_requests" value="y" checked' in page
    with inside(app, demo.ELM):
        details = db.session.scalars(
            text("SELECT details FROM audit_entries WHERE event = 'portal_settings.saved' ORDER BY at DESC")
        ).first()
    assert details["allows_messages"] == [True, False] and "allows_appointment_requests" not in details
    options = ana.read(f"{ELM}/clinic-options")
    assert "Patient messaging</dt><dd>Off" in options and "Appointment requests</dt><dd>On" in options


def test_both_are_off_until_a_clinic_switches_them_on(app: Flask, ola: Visitor) -> None:
    page = ola.read(f"/{demo.OAK}/clinic-options")
    assert page.count("</dt><dd>Off") == 2
    assert "Patient messaging is off" in ola.read(f"/{demo.OAK}/conversations")
    assert "Appointment requests are off" in ola.read(f"/{demo.OAK}/appointment-requests")


def test_staff_read_answer_close_and_reopen(ana: Visitor, maria: Visitor) -> None:
    address = first_link(ana.read(f"{ELM}/conversations"), "conversations")
    page = ana.read(address)
    assert "pencil grip" in page and "Ana Alvarez" in page and "With Maria Lopez" in page
    refused = ana.post(address, {"text": ""})
    assert refused.status_code == 422
    assert ana.post(address, {"text": "<b>One more</b>"}).status_code == 303
    assert "&lt;b&gt;One more" in ana.read(address)
    assert ana.post(f"{address}/closing").status_code == 303
    assert "Reopen" in ana.read(address)
    ana.post(address, {"text": "Too late"})
    assert "This conversation is closed." in ana.read(address)
    assert ana.post(f"{address}/reopening").status_code == 303
    assert "Send" in ana.read(address)


def test_staff_begin_a_conversation_from_the_patients_page(ana: Visitor, maria: Visitor, leo: str) -> None:
    assert f"{leo}/conversations" in ana.read(leo)
    page = ana.read(f"{leo}/conversations/new")
    maria_id = re.search(r'<option[^>]*value="([0-9a-f-]{36})"[^>]*>Maria Lopez', page)[1]
    stranger = ana.post(f"{leo}/conversations/new", {"reader_id": leo[-36:], "subject": "Hi", "text": "Hi"})
    assert stranger.status_code == 422
    sent = ana.post(f"{leo}/conversations/new", {"reader_id": maria_id, "subject": "Shoes", "text": "Soft ones"})
    assert sent.status_code == 303
    assert "Shoes" in maria.read(f"{leo.removeprefix(ELM)}/conversations")


def test_switched_off_staff_keep_what_was_said_and_send_nothing_into_the_void(ana: Visitor, leo: str) -> None:
    address = first_link(ana.read(f"{ELM}/conversations"), "conversations")
    ana.read(SETTINGS)
    ana.post(SETTINGS, {"slug": demo.ELM})
    page = ana.read(address)
    assert "pencil grip" in page and "An answer would not be read" in page
    ana.post(address, {"text": "Nobody reads this"})
    assert "Patient messaging is switched off" in ana.read(address)
    assert "Patient messaging is off" in ana.read(f"{leo}/conversations/new")


def test_a_request_leads_to_booking_and_is_answered(ana: Visitor, maria: Visitor, leo: str) -> None:
    """A family's wish would lie unseen, or its answer would not reach them."""
    start = ana.read(f"{ELM}/")
    assert "1 open" in start
    address = first_link(ana.read(f"{ELM}/appointment-requests"), "appointment-requests")
    page = ana.read(address)
    assert f"{leo}/appointments/new" in page and "Thursday afternoon" in page
    assert ana.post(address, {"answer": ""}).status_code == 422
    assert ana.post(address, {"answer": "Booked."}).status_code == 303
    ana.post(address, {"answer": "Booked twice."})
    assert "answered already" in ana.read(address)
    family = maria.read(f"{leo.removeprefix(ELM)}/appointments")
    assert "Booked." in family and "Booked twice." not in family
    assert "1 open" not in ana.read(f"{ELM}/")


def test_without_the_right_there_is_no_menu_and_no_page(ben: Visitor) -> None:
    start = ben.read(f"{ELM}/")
    assert "Messages" not in start and "Appointment requests" not in start
    for page in ("conversations", "appointment-requests"):
        assert ben.get(f"{ELM}/{page}").status_code == 403
