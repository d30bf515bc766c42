"""The directory. Lost if it fails: a request, or what a payment provider tells, reaches another clinic than its own."""

from uuid import uuid4

import pytest
from flask import Flask

from clinic import demo
from tenancy import clinics, provisioning
from tenancy.clinics import ClinicPaymentAccount, Status
from tenancy.database import db, transaction
from tenancy.errors import NotFound
from tenancy.tenant import Role
from tests.inside import inside


def test_a_payment_account_leads_to_its_own_clinic(app: Flask) -> None:
    own = {}
    for slug in (demo.ELM, demo.OAK):
        with inside(app, slug) as clinic:
            own[f"acct_{clinic.id.hex}"] = clinic
            db.session.add(ClinicPaymentAccount(account_id=f"acct_{clinic.id.hex}", clinic_id=clinic.id))
    with app.app_context(), transaction():
        for account_id, clinic in own.items():
            found = clinics.find_by_payment_account(account_id)
            assert found and found.id == clinic.id
        assert clinics.find_by_payment_account("acct_nobodys") is None


def test_a_suspended_clinic_is_in_the_directory_and_not_at_the_door(app: Flask) -> None:
    with inside(app, demo.OAK, Role.OPERATOR):
        provisioning.set_status(Status.SUSPENDED)
    with app.app_context(), transaction():
        oak = clinics.find_at(demo.OAK)
        assert oak and not oak.is_active and clinics.get(oak.id) == oak
        assert clinics.find_active_at(demo.OAK) is clinics.find_active_at("nowhere") is clinics.find_at("nowhere") is None
        elm = clinics.find_active_at(demo.ELM)
        assert elm and elm.slug == demo.ELM
        assert [each.name for each in clinics.in_directory()] == ["Elm Street Therapy", "Oak Hill Pediatrics"]
        with pytest.raises(NotFound):
            clinics.get(uuid4())
