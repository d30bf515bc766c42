"""Lost if it fails: work is done in the wrong clinic, as the wrong person, or half of it stays after an error."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import func, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError, InvalidRequestError, ProgrammingError

from clinic import demo, patients
from clinic.contacts import Contact
from clinic.documents import Document
from clinic.patients import Patient, PatientDetails
from tenancy import clinics, clock, database, tenant
from tenancy.clinics import Clinic, ClinicEntry, Status
from tenancy.database import Base, db, transaction
from tenancy.tenant import NoClinicOpen, Role, Tenant
from tests.inside import inside

ELM = uuid4()


def asking() -> tuple[str, str, str]:
    row = db.session.execute(
        text("SELECT current_user::text, current_setting('app.clinic_id'), current_setting('app.portal_user_id')")
    ).one()
    return tuple(row)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "smuggled",
    [
        Tenant("'; DROP TABLE patients; --", Role.STAFF),  # type: ignore[arg-type]
        Tenant("", Role.STAFF),  # type: ignore[arg-type]
        Tenant(None, Role.STAFF),  # type: ignore[arg-type]
        Tenant(ELM, "portico_owner"),  # type: ignore[arg-type]
        Tenant(ELM, "portico_staff; RESET ROLE"),  # type: ignore[arg-type]
        Tenant(ELM, Role.PORTAL, "x'; RESET ROLE; --"),  # type: ignore[arg-type]
        Tenant(ELM, Role.PAYER, link_hash="x'; RESET ROLE; --"),  # type: ignore[arg-type]
    ],
)
def test_only_ids_and_known_roles_get_into_the_first_statement(smuggled: Tenant) -> None:
    """The one statement that is written out literally cannot be made to say anything else."""
    with pytest.raises((ValueError, TypeError)):
        database.who_is_asking(smuggled)


def test_the_first_statement_holds_until_the_end_of_the_transaction_only() -> None:
    said = database.who_is_asking(Tenant(ELM, Role.PORTAL, ELM))
    assert all(part.strip().startswith("SET LOCAL ") for part in said.split(";"))
    assert said.count(str(ELM)) == 2
    assert "ROLE NONE" in database.who_is_asking(None)


def test_a_query_outside_a_transaction_is_an_error(in_app: None) -> None:
    with pytest.raises(InvalidRequestError):
        db.session.execute(select(Clinic.id))
    with pytest.raises(InvalidRequestError):
        db.session.add(Clinic())
        db.session.flush()
    db.session.remove()


def test_only_the_outermost_layer_opens_a_transaction(elm: ClinicEntry) -> None:
    with clinics.open_clinic(elm), transaction():
        with pytest.raises(RuntimeError, match="already running"), transaction():
            pass
        assert database.is_running()
    assert not database.is_running()


@pytest.mark.parametrize("opens", [lambda clinic: clinics.open_clinic(clinic), lambda clinic: clinics.nobody_asking()])
def test_no_clinic_is_opened_or_left_while_a_transaction_runs(elm: ClinicEntry, oak: ClinicEntry, opens: Callable[..., Any]) -> None:
    """The database was told who asks when the transaction began; nothing may pretend otherwise in the middle."""
    with clinics.open_clinic(elm), transaction():
        before = asking()
        with pytest.raises(RuntimeError, match="while a transaction runs"), opens(oak):
            pass
        assert asking() == before
        assert tenant.current_clinic_id() == elm.id


def test_after_an_error_the_next_transaction_begins_anew(elm: ClinicEntry, oak: ClinicEntry) -> None:
    with pytest.raises(ZeroDivisionError), clinics.open_clinic(elm), transaction():
        patients.add(PatientDetails("Half Done", date(2020, 1, 1)))
        raise ZeroDivisionError
    with clinics.open_clinic(elm), transaction():
        assert db.session.scalars(select(Patient).where(Patient.name == "Half Done")).all() == []
    with clinics.open_clinic(oak, Role.DOOR), transaction():
        assert asking() == ("portico_door", str(oak.id), "")


def test_outside_a_clinic_only_the_directory_can_be_read(in_app: None) -> None:
    """A forgotten `open_clinic` fails loudly; it never shows or changes anybody's rows."""
    with transaction():
        assert asking() == ("portico", "", "")
        assert len(clinics.in_directory()) == 2
    for table in Base.metadata.sorted_tables:
        if table.name in ("clinics", "clinic_addresses", "clinic_payment_accounts"):
            continue
        with pytest.raises(ProgrammingError, match="permission denied"), transaction():
            db.session.execute(select(func.count()).select_from(table))
    with pytest.raises(ProgrammingError, match="permission denied"), transaction():
        db.session.execute(text("UPDATE clinics SET name = 'x'"))


def test_a_row_belongs_to_the_clinic_it_was_made_in(elm: ClinicEntry, oak: ClinicEntry) -> None:
    with pytest.raises(NoClinicOpen):
        tenant.current_clinic_id()
    stranger = Contact(clinic_id=oak.id, name="Max", search_text="max", created_at=clock.now())
    with pytest.raises(ProgrammingError, match="row-level security"), clinics.open_clinic(elm), transaction():
        db.session.add(stranger)
        db.session.flush()
    with pytest.raises(ProgrammingError, match="row-level security"), clinics.open_clinic(elm), transaction():
        db.session.execute(text("UPDATE patients SET clinic_id = :other"), {"other": oak.id})


@pytest.mark.parametrize("role", Role)
def test_each_role_is_taken_and_sees_its_own_clinic_only(app: Flask, role: Role) -> None:
    with inside(app, demo.OAK, role) as oak:
        assert asking() == (role.value, str(oak.id), "")
        assert db.session.scalars(select(Clinic.name)).all() == ["Oak Hill Pediatrics"]


def test_becoming_a_portal_user_counts_from_the_next_transaction(app: Flask) -> None:
    user_id = uuid4()
    with inside(app, demo.ELM) as elm:
        assert len(db.session.scalars(select(Patient)).all()) == 4
    with app.app_context(), clinics.open_clinic(elm, Role.DOOR):
        tenant.become(Role.PORTAL, user_id)
        with transaction():
            assert asking() == ("portico_portal", str(elm.id), str(user_id))
            assert db.session.scalars(select(Patient)).all() == []  # nobody's: sees nothing
    assert tenant.find_current() is None


def test_the_app_role_is_the_login_role_and_no_more(app: Flask) -> None:
    with app.app_context(), pytest.raises(ProgrammingError, match="permission denied"), transaction():
        db.session.execute(text("SET LOCAL ROLE portico_owner"))


@pytest.mark.parametrize(
    ("column", "value"), [("status", "other"), ("title", ""), ("title", "x" * 121), ("status", "draft"), ("held_back_reason", "why")]
)
def test_the_database_itself_refuses_what_no_rule_allows(app: Flask, column: str, value: str) -> None:
    """A bug above cannot leave a signed document without a date or a title nobody can read."""
    with pytest.raises(IntegrityError), inside(app, demo.ELM):
        document = db.session.scalars(select(Document).where(Document.status == "signed").limit(1)).one()
        setattr(document, column, value)
        db.session.flush()


def test_a_reference_points_inside_the_same_clinic() -> None:
    """Else one clinic could file a document under another's patient."""
    key = database.same_clinic("patient_id", "patients", on_delete="CASCADE")
    assert key.column_keys == ["clinic_id", "patient_id"] and key.ondelete == "CASCADE"
    assert [each.target_fullname for each in key.elements] == ["patients.clinic_id", "patients.id"]


def test_a_column_holds_one_of_its_words_or_a_text_of_its_length() -> None:
    words, length = database.one_of("status", Status), database.text_up_to("name", 80)
    assert (words.name, str(words.sqltext)) == ("status", "status IN ('active', 'suspended')")
    assert (length.name, str(length.sqltext)) == ("name_length", "length(name) BETWEEN 1 AND 80")


def test_what_is_locked_is_read_afresh_and_may_still_be_referred_to() -> None:
    """Who waited for the lock decides on what is there now; and a new row about a locked one waits for nobody."""
    statement = database.locked(select(Clinic.id))
    assert str(statement.compile(dialect=postgresql.dialect())).endswith("FOR NO KEY UPDATE")
    assert statement.get_execution_options()["populate_existing"] is True
    assert database.afresh(select(Clinic.id)).get_execution_options()["populate_existing"] is True


def test_entries_are_values_and_say_what_they_are(elm: ClinicEntry, oak: ClinicEntry) -> None:
    assert elm.is_active and elm.payment_processing_is_on and elm.has_logo
    assert not oak.payment_processing_is_on
    assert not replace(oak, status="suspended").is_active
