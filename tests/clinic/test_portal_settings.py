"""Lost if it fails: families see what the clinic did not mean to show, replies go to a stranger, or nobody can say who
changed it."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from clinic import demo, document_types, portal_home, portal_settings
from clinic.audit import AuditEntry
from clinic.mailed_links import LinkState
from clinic.portal_settings import SettingsDetails
from mail import letterhead
from tenancy import clinics, clock, provisioning
from tenancy.database import db
from tenancy.errors import NotFound, Refused
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.inside import acting, inside, letters, secret, user


def type_ids(*names: str) -> set[object]:
    return {row.id for row in document_types.listed() if row.name in names}


def details(slug: str = demo.ELM, **changed: object) -> SettingsDetails:
    shown = changed.pop("shown", ("Plan of Care", "Progress Note"))
    values = {"reply_to": f"front-desk@{slug}.example", "shows_balance": True, "shows_invoices": True}
    values |= {"allows_messages": slug == demo.ELM, "allows_appointment_requests": slug == demo.ELM} | changed
    return SettingsDetails(slug, visible_type_ids=type_ids(*shown), **values)  # type: ignore[arg-type, misc]


def entries(event: str) -> list[AuditEntry]:
    return list(db.session.scalars(select(AuditEntry).where(AuditEntry.event == event).order_by(AuditEntry.at)))


def test_every_change_is_recorded_with_before_and_after_and_who(app: Flask) -> None:
    with inside(app, demo.ELM), acting("ana@elm.example"):
        portal_settings.save(
            details(shown=("Daily Note",), reply_to="new@elm.example", shows_balance=False, asks_birth_date=False)
        )
        entry = entries("portal_settings.saved")[-1]
        assert entry.details == {
            "visible_types": [entry.details["visible_types"][0], ["Daily Note"]],
            "reply_to": ["front-desk@elm-street.example", "new@elm.example"],
            "shows_balance": [True, False],
            "asks_birth_date": [True, False],
        }
        assert set(entry.details["visible_types"][0]) == {"Plan of Care", "Progress Note"}
        assert entry.actor_kind == "staff" and entry.actor_id


def test_saving_what_was_there_already_records_nothing(app: Flask) -> None:
    with inside(app, demo.ELM), acting("ana@elm.example"):
        before = len(entries("portal_settings.saved"))
        portal_settings.save(details())
        assert len(entries("portal_settings.saved")) == before


@pytest.mark.parametrize(
    ("changed", "field"),
    [({"slug": "admin"}, "slug"), ({"slug": "No Good"}, "slug"), ({"slug": demo.OAK}, "slug"), ({"reply_to": "nobody"}, "reply_to")],
)
def test_one_wrong_field_and_nothing_is_saved(app: Flask, changed: dict[str, str], field: str) -> None:
    """The sentence stands at its field; the other changes wait with it."""
    with pytest.raises(Refused) as refusal, inside(app, demo.ELM), acting("ana@elm.example"):
        portal_settings.save(details(**({"shown": ("Daily Note",), "shows_balance": False} | changed)))
    assert refusal.value.field == field
    with inside(app, demo.ELM):
        assert portal_settings.get().shows_balance
        assert {row.name for row in document_types.listed() if row.is_visible_on_portal} == {"Plan of Care", "Progress Note"}


def test_without_payment_processing_nothing_about_money_can_be_shown(app: Flask) -> None:
    with inside(app, demo.OAK), acting("ola@oak.example"):
        portal_settings.save(details(demo.OAK))
        kept = portal_settings.get()
        assert (kept.shows_balance, kept.shows_invoices) == (False, False)


def test_switching_processing_off_hides_balance_and_invoices_at_once(app: Flask) -> None:
    def seen() -> list[tuple[bool, bool]]:
        with inside(app, demo.ELM):
            maria = user("maria@family.example").id
        with inside(app, demo.ELM, Role.PORTAL, maria):
            return [(each.shows_balance, each.shows_invoices) for each in portal_home.patients()]

    assert seen() == [(True, True)] * 2
    with inside(app, demo.ELM, Role.OPERATOR):
        provisioning.set_payment_processing(False)
    assert seen() == [(False, False)] * 2
    with inside(app, demo.ELM):  # and what was chosen is kept for when it comes back
        portal_settings.save(details(shows_balance=False, shows_invoices=False))
    with inside(app, demo.ELM, Role.OPERATOR):
        provisioning.set_payment_processing(True)
    assert seen() == [(True, True)] * 2


def test_a_new_reply_to_is_used_only_when_its_owner_says_so(app: Flask) -> None:
    with inside(app, demo.ELM):
        portal_settings.save(details(reply_to="New@elm.example"))
        assert letterhead.of_clinic().reply_to_in_use is None
    assert letters(app, demo.ELM)[-1].to_address == "New@elm.example"
    mailed = secret(app, demo.ELM, Purpose.REPLY_TO)
    with inside(app, demo.ELM, Role.DOOR):
        assert portal_settings.look_at_confirmation(mailed) == LinkState.GOOD
        assert letterhead.of_clinic().reply_to_in_use is None  # looking confirms nothing
        assert portal_settings.confirm_reply_to(mailed) == LinkState.GOOD
        assert letterhead.of_clinic().reply_to_in_use == "New@elm.example"
    with inside(app, demo.ELM, Role.DOOR):
        assert portal_settings.confirm_reply_to(mailed) == LinkState.USED


def test_a_confirmation_of_an_address_that_was_given_up_confirms_nothing(app: Flask) -> None:
    """The link that a stranger got by a typing mistake is dead once the mistake is corrected."""
    with inside(app, demo.ELM):
        portal_settings.save(details(reply_to="typo@elm.example"))
    typo = secret(app, demo.ELM, Purpose.REPLY_TO)
    with clock.moved(timedelta(seconds=1)), inside(app, demo.ELM):
        portal_settings.save(details(reply_to="right@elm.example"))
    with inside(app, demo.ELM, Role.DOOR):
        assert portal_settings.confirm_reply_to(typo) == LinkState.SUPERSEDED
        assert letterhead.of_clinic().reply_to_in_use is None
    with inside(app, demo.ELM):
        portal_settings.save(details(reply_to=""))
        with pytest.raises(NotFound):
            portal_settings.ask_to_confirm_reply_to()


def test_the_other_clinics_document_types_cannot_be_ticked(app: Flask) -> None:
    with inside(app, demo.OAK):
        oaks = type_ids("Daily Note")
    with pytest.raises(Refused) as refusal, inside(app, demo.ELM):
        portal_settings.save(SettingsDetails(demo.ELM, "", oaks))  # type: ignore[arg-type]
    assert refusal.value.field == "document_types"


def test_a_new_clinic_shows_no_document_until_it_says_so(app: Flask) -> None:
    clinic_id = provisioning.new_clinic_id()
    with app.app_context(), clinics.open_clinic(clinic_id, Role.OPERATOR), db.session.begin():
        provisioning.create(name="Birch Road", slug="birch-road")
        portal_settings.stock()
        assert [row.name for row in document_types.listed()] == list(document_types.FROM_THE_START)
        assert not [row for row in document_types.listed() if row.is_visible_on_portal]
        kept = portal_settings.get()
        assert (kept.shows_balance, kept.shows_invoices, kept.asks_birth_date) == (False, False, True)
        assert letterhead.of_clinic().reply_to is None


def test_a_rename_is_recorded_and_the_same_name_again_ends_nothing(app: Flask) -> None:
    with inside(app, demo.ELM), acting("ana@elm.example"):
        portal_settings.rename_portal(demo.ELM)
        assert entries("portal.renamed") == []
        portal_settings.save(details(slug="elm-lane", reply_to="front-desk@elm-street.example"))
        assert entries("portal.renamed")[-1].details == {"address": ["elm-street", "elm-lane"]}
