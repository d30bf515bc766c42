"""The family's page of saved cards and automatic payments.

Lost if it fails: somebody cannot take a card back, or does not see that it is charged.
"""

import re
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import select

from clinic import access_holds
from clinic.portal_users import HoldKind, PortalAccess
from tenancy.database import db
from tests.paying import Desk, at_elm
from tests.stripe_fake.client import StripeFake
from tests.visitor import Visitor


@pytest.fixture
def desk(app: Flask, stripe_fake: StripeFake) -> Iterator[Desk]:
    with at_elm(app, stripe_fake) as standing:
        standing.paid(standing.invoice(1000), saves_card=True)
        yield standing


def card_in(page: str) -> str:
    found = re.search(r"/profile/cards/([0-9a-f-]{36})/removal", page)
    assert found
    return found[1]


def test_a_card_pays_when_due_until_its_owner_stops_it(desk: Desk, maria: Visitor) -> None:
    assert "/profile/cards" in maria.read("/profile")
    page = maria.read("/profile/cards")
    assert "Visa 4242" in page and "Pay with Visa 4242 when due" in page and "3 days before" in page
    assert maria.post(f"/patients/{desk.patient_id}/autopay", {"card_id": card_in(page)}).status_code == 303
    assert "Invoices are paid with Visa 4242" in maria.read("/profile/cards")
    maria.post(f"/patients/{desk.patient_id}/autopay/ending")
    assert "You stopped it" in maria.read("/profile/cards")
    maria.post(f"/patients/{desk.patient_id}/autopay/ending")
    assert "Nothing is paid automatically for this patient" in maria.read("/profile/cards")


def test_a_removed_card_is_gone_and_stops_what_was_paid_with_it(desk: Desk, maria: Visitor) -> None:
    card = card_in(maria.read("/profile/cards"))
    maria.post(f"/patients/{desk.patient_id}/autopay", {"card_id": card})
    assert maria.post(f"/profile/cards/{card}/removal").status_code == 303
    page = maria.read("/profile/cards")
    assert "No saved cards" in page and "card is no longer here" in page
    assert maria.post(f"/profile/cards/{card}/removal").status_code == 404


def test_after_a_hold_the_page_says_that_it_stopped_and_how_it_begins_again(desk: Desk, maria: Visitor) -> None:
    maria.post(f"/patients/{desk.patient_id}/autopay", {"card_id": card_in(maria.read("/profile/cards"))})
    with desk.staff():
        access = select(PortalAccess.id).where(PortalAccess.patient_id == desk.patient_id, PortalAccess.portal_user_id == desk.maria)
        held = access_holds.hold(db.session.scalars(access).one(), "Papers are awaited").id
    desk.look_again()
    with desk.staff():
        access_holds.lift(held, desk.patient_id, HoldKind.HOLD, "They came")
    page = maria.read("/profile/cards")
    assert "does not begin again by itself" in page and "Pay with Visa 4242 when due" in page


@pytest.mark.parametrize("card", ["", "nonsense", "00000000-0000-4000-8000-000000000000"])
def test_a_card_that_is_nobodys_begins_nothing(desk: Desk, maria: Visitor, card: str) -> None:
    maria.read("/profile/cards")
    assert maria.post(f"/patients/{desk.patient_id}/autopay", {"card_id": card}).status_code == 404


def test_another_persons_card_is_not_there(desk: Desk, maria: Visitor, omar: Visitor) -> None:
    card = card_in(maria.read("/profile/cards"))
    assert "Visa 4242" not in omar.read("/profile/cards")
    assert omar.post(f"/profile/cards/{card}/removal").status_code == 404
    assert "Visa 4242" in maria.read("/profile/cards")
