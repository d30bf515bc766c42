"""Lost if it fails: a clinic stands with a name nobody can read, in no time zone, or at an address that is not its own."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from clinic import demo
from tenancy import clinics, clock, keys, provisioning, tenant
from tenancy.clinics import ClinicAddress, Plan, Status
from tenancy.database import db, transaction
from tenancy.errors import NotFound, Refused
from tenancy.keys import ClinicKey
from tenancy.tenant import Role
from tests.inside import inside

ASH: dict[str, Any] = {"name": "Ash Lane", "slug": "ash-lane"}


@pytest.fixture
def new(app: Flask) -> Iterator[None]:
    """Inside a clinic that is not there yet."""
    with app.app_context(), clinics.open_clinic(provisioning.new_clinic_id(), Role.OPERATOR), transaction():
        yield


def test_a_clinic_stands_with_its_name_its_address_and_its_key(new: None) -> None:
    made = provisioning.create(**{**ASH, "name": "  Ash Lane "}, plan=Plan.BILLING, time_zone="Europe/Madrid")
    entry = clinics.current()
    assert made.id == entry.id == tenant.current_clinic_id()
    assert (entry.name, entry.slug, entry.plan, entry.time_zone) == ("Ash Lane", "ash-lane", "billing", "Europe/Madrid")
    assert entry.is_active and not entry.payment_processing_is_on and not entry.has_logo
    assert made.created_at <= clock.now() and clinics.find_at("ash-lane") == entry
    assert db.session.scalars(select(ClinicKey.clinic_id)).all() == [made.id] and len(keys.signing_key("x")) == 32


@pytest.mark.parametrize(
    ("wrong", "field", "why"),
    [
        ({"name": " "}, "name", "1 to 80 characters"),
        ({"name": "x" * 81}, "name", "1 to 80 characters"),
        ({"time_zone": "Mars/Olympus"}, "time_zone", "not a time zone"),
        ({"slug": "ab"}, "slug", "3 to 40 characters"),
        ({"slug": "Ash Lane"}, "slug", "3 to 40 characters"),
        ({"slug": "admin"}, "slug", "reserved"),
        ({"slug": demo.ELM}, "slug", "not available"),
    ],
)
def test_what_could_not_stand_is_refused_at_its_field(new: None, wrong: dict[str, str], field: str, why: str) -> None:
    with pytest.raises(Refused) as refusal:
        provisioning.create(**ASH | wrong)
    assert refusal.value.field == field and why in str(refusal.value.message)


def test_what_else_the_database_refuses_is_not_told_as_an_address_that_is_taken(app: Flask) -> None:
    """An operator would try one address after the other."""
    with pytest.raises(IntegrityError, match="pk_clinics"), inside(app, demo.ELM, Role.OPERATOR):
        provisioning.create(**ASH)


@pytest.mark.parametrize("name", ["A", "x" * 80])
def test_the_shortest_and_the_longest_name_are_a_clinics(new: None, name: str) -> None:
    assert provisioning.create(**ASH | {"name": name}).name == name


def test_a_new_address_leaves_the_old_one_pointing_at_the_clinic(app: Flask) -> None:
    """Letters that lie in drawers still lead home, and nobody else can ever take the old address."""
    with inside(app, demo.ELM, Role.OPERATOR) as elm:
        assert provisioning.rename("elm-lane") == demo.ELM
        found = clinics.find_at(demo.ELM)
        assert found and (found.id, found.slug) == (elm.id, "elm-lane")
        assert provisioning.rename("elm-lane") == "elm-lane"  # again: nothing changes
        assert provisioning.rename(demo.ELM) == "elm-lane"  # its own earlier one may be taken up again
        assert clinics.current().slug == demo.ELM
        kept = db.session.execute(select(ClinicAddress.slug, ClinicAddress.retired_at.is_(None)).order_by(ClinicAddress.slug))
        assert {slug: is_current for slug, is_current in kept if slug.startswith("elm")} == {"elm-lane": False, demo.ELM: True}
    for slug, why in (("elm-lane", "not available"), ("www", "reserved"), ("x", "3 to 40")):
        with pytest.raises(Refused, match=why), inside(app, demo.OAK, Role.OPERATOR):
            provisioning.rename(slug)


def test_plan_and_status_are_changed_and_what_was_before_is_told(app: Flask) -> None:
    """The audit log says from what to what."""
    with inside(app, demo.OAK, Role.OPERATOR):
        assert provisioning.set_plan(Plan.BILLING) == Plan.CORE and provisioning.set_plan(Plan.CORE) == Plan.BILLING
        assert provisioning.set_status(Status.SUSPENDED) == Status.ACTIVE
        db.session.flush()
        assert not clinics.current().is_active
        assert provisioning.set_status(Status.ACTIVE) == Status.SUSPENDED


def test_payments_are_taken_since_a_moment_or_not_at_all(app: Flask) -> None:
    with inside(app, demo.OAK, Role.OPERATOR):
        for is_on in (True, False):
            provisioning.set_payment_processing(is_on)
            db.session.flush()
            assert clinics.current().payment_processing_is_on is is_on


def test_a_clinic_that_is_not_there_is_not_found(new: None) -> None:
    with pytest.raises(NotFound):
        clinics.current()
    assert clinics.find_at("ash-lane") is None
