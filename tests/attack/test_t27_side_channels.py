"""T27: nothing that one clinic does tells it whether something exists at the other, or reaches the other's rows.

Lost if it fails: a curious clinic learns, one guess at a time, which families are patients elsewhere, how much business
a competitor does, or deletes a record that is not its own.
"""

import io
import re
from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import UUID, uuid1, uuid4

import psycopg
import pytest
from flask import Flask
from sqlalchemy import event, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from clinic import demo, demo_papers, document_types, patients
from clinic.audit import AuditEntry
from clinic.contacts import ContactDetails, Relationship, RelationshipKind
from clinic.contacts import add as add_contact
from clinic.invoices import Invoice
from clinic.patients import Patient, PatientDetails
from tenancy import clock, tenant
from tenancy.database import Base, db
from tests.inside import contact, inside, pair, patient, user
from tests.visitor import Visitor, compared

Administrator = psycopg.Connection[tuple[Any, ...]]
_CHANGING = re.compile(r'[0-9a-f]{8}-[0-9a-f-]{27}|[\w.]+@[\w.]+')
# The directory, and the throttle's counts of networks, which no clinic's role can reach.
OUTSIDE_CLINICS = {
    *("clinics", "clinic_addresses", "clinic_payment_accounts", "alembic_version", "platform_throttle_buckets"),
    "platform_webhook_refusals",
}
# Made elsewhere: a passkey's by the person's own device, the others by Stripe.
NOT_OURS = (
    *("credential_id", "account_id", "customer_id", "payment_method_id", "checkout_session_id", "payment_intent_id"),
    *("stripe_refund_id", "stripe_dispute_id", "source_id", "object_id", "event_id"),
)



# Through the pages --------------------------------------------------------------------------------------------------


def elms(app: Flask) -> dict[str, UUID]:
    with inside(app, demo.ELM):
        leo = patient("Leo Lopez")
        return {
            "patient": leo.id,
            "contact": contact("Omar Haddad").id,
            "relationship": pair("Omar Haddad", "Zoe Haddad").id,
            "document type": document_types.listed()[0].id,
            "portal user": user("omar@family.example").id,
            "batch": uuid4(),
        }


def answer_to(app: Flask, who: Visitor, path: str, form: dict[str, Any]) -> tuple[Any, ...]:
    """Everything that the sender of a form can notice: status, words, where it leads, and how much work it took."""
    statements: list[str] = []

    def count(connection: Any, cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", count)
    try:
        answer = who.post(path, form)
        onward = who.get(answer.headers["Location"]) if answer.status_code == 303 else answer
    finally:
        event.remove(Engine, "before_cursor_execute", count)
    location = _CHANGING.sub("", answer.headers.get("Location", ""))
    # Pages break an address before its @; what is compared is the address.
    return answer.status_code, location, _CHANGING.sub("", compared(onward.text).replace("<wbr>", "")), len(statements)


def forms_with(app: Flask, nina: UUID) -> dict[str, Callable[[UUID], tuple[str, dict[str, Any]]]]:
    """Every form of Oak Hill's staff that takes an id in its body, by what it takes; and those with one in the address."""
    oak = f"/{demo.OAK}"
    with inside(app, demo.OAK):
        kinds = document_types.listed()
    a_document = {"title": "Note", "dated_on": "2024-01-02"}
    return {
        "contact": lambda id_: (f"{oak}/patients/{nina}/contacts/existing", {"contact_id": str(id_), "kind": "parent"}),
        "relationship": lambda id_: (f"{oak}/patients/{nina}/invitations", {"relationship_id": [str(id_)]}),
        "document type": lambda id_: (
            f"{oak}/patients/{nina}/documents/new", a_document | {"type_id": str(id_), "file": (io.BytesIO(demo_papers.pdf("A page", [])), "a.pdf")}
        ),
        "visible type": lambda id_: (
            f"{oak}/clinic-options/portal-settings",
            {"slug": demo.OAK, "reply_to": "", "document_types": [str(id_), str(kinds[0].id)]},
        ),
        "patient": lambda id_: (f"{oak}/patients/{id_}/contacts/new", {"name": "Max", "kind": "parent"}),
        "portal user": lambda id_: (f"{oak}/portal-users/{id_}/deactivation", {}),
        "batch": lambda id_: (f"{oak}/invitations/{id_}/confirmation", {}),
    }  # fmt: skip


def check_ids_answer_as_random(app: Flask, ola: Visitor, what: str) -> None:
    with inside(app, demo.OAK):
        nina = patient("Nina Lopez").id
    path_and_form = forms_with(app, nina)[what]
    foreign = elms(app)["document type" if what == "visible type" else what]
    ola.get(f"/{demo.OAK}/")
    answers = [answer_to(app, ola, *path_and_form(each)) for each in (uuid4(), foreign, uuid4())]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] < 500


@pytest.mark.parametrize("what", ["contact", "relationship", "document type", "visible type", "patient", "portal user", "batch"])
def test_the_other_clinics_ids_answer_like_random_ones(app: Flask, ola: Visitor, what: str) -> None:
    check_ids_answer_as_random(app, ola, what)


def test_planted_a_policy_that_shows_everybodys_contacts(committed_app: Flask, administrator: Administrator) -> None:
    administrator.execute("ALTER POLICY clinic ON contacts USING (true)")
    ola = Visitor(committed_app, "http://admin.localhost:8000").sign_in("ola@oak.example", f"/{demo.OAK}")
    committed_app.config["PROPAGATE_EXCEPTIONS"] = False
    with pytest.raises(AssertionError):
        check_ids_answer_as_random(committed_app, ola, "contact")


@pytest.mark.parametrize("email", ["omar@family.example", "ana@elm.example", "grace@family.example"])
def test_an_address_known_at_the_other_clinic_is_new_here(app: Flask, ola: Visitor, email: str) -> None:
    """Oak Hill adds and invites Omar's address, and cannot tell that Elm Street knows him."""
    with inside(app, demo.OAK):
        nina = patient("Nina Lopez").id
    ola.get(f"/{demo.OAK}/")

    def ask(address: str) -> list[Any]:
        path = f"/{demo.OAK}/patients/{nina}/contacts/new"
        noticed = [answer_to(app, ola, path, {"name": "Max Muster", "kind": "other", "email": address})]
        with inside(app, demo.OAK):
            chosen = db.session.scalars(
                select(Relationship.id).where(Relationship.contact_id.in_(text("SELECT id FROM contacts WHERE email_norm = :e")))
                .params(e=address)
            ).all()
        noticed.append(answer_to(app, ola, f"/{demo.OAK}/patients/{nina}/invitations", {"relationship_id": [str(c) for c in chosen]}))
        with inside(app, demo.OAK):
            for each in chosen:
                db.session.execute(text("DELETE FROM relationships WHERE id = :id"), {"id": each})
        return noticed

    assert ask(email) == ask("nobody@anywhere.example")


def test_a_taken_address_says_the_same_whoever_has_it(app: Flask, ola: Visitor) -> None:
    """Live, given up, or suspended: the three taken addresses cannot be told apart."""
    with inside(app, demo.ELM):
        demo.portal_settings.rename_portal("elm-lane")
    path = f"/{demo.OAK}/clinic-options/portal-settings"
    ola.get(path)
    live, given_up = (answer_to(app, ola, path, {"slug": slug, "reply_to": ""}) for slug in ("elm-lane", demo.ELM))
    assert live[0] == given_up[0] == 422
    assert live[2].replace("elm-lane", demo.ELM) == given_up[2]
    assert live[3] == given_up[3]


# In SQL -------------------------------------------------------------------------------------------------------------


def refusal(app: Flask, table: Any, **values: Any) -> tuple[str, ...]:
    """How the database answers an insert by Oak Hill's staff: error code and constraint, or "done"."""
    try:
        with inside(app, demo.OAK):
            savepoint = db.session.begin_nested()
            db.session.execute(insert(table).values(clinic_id=tenant.current_clinic_id(), **values))
            savepoint.rollback()
    except IntegrityError as error:
        assert isinstance(error.orig, psycopg.Error)
        return str(error.orig.sqlstate), str(error.orig.diag.constraint_name)
    return ("done",)


def check_references_stay_inside(app: Flask) -> None:
    with inside(app, demo.OAK):
        nina = contact("Maria Lopez").id
    seen = [
        refusal(app, Relationship, contact_id=nina, patient_id=each, kind="parent", list_key="", is_invitable=False)
        for each in (elms(app)["patient"], uuid4())
    ]
    assert seen == [("23503", "fk_relationships_clinic_id_patient_id")] * 2


def test_a_reference_to_the_other_clinics_row_fails_like_one_to_nothing(app: Flask) -> None:
    check_references_stay_inside(app)


def test_planted_a_reference_without_its_clinic(committed_app: Flask, administrator: Administrator) -> None:
    administrator.execute(
        "ALTER TABLE patients ADD CONSTRAINT plain UNIQUE (id); "
        "ALTER TABLE relationships DROP CONSTRAINT fk_relationships_clinic_id_patient_id, "
        "ADD CONSTRAINT fk_relationships_clinic_id_patient_id FOREIGN KEY (patient_id) REFERENCES patients (id)"
    )
    with pytest.raises(AssertionError):
        check_references_stay_inside(committed_app)


def keys_across_clinics() -> list[str]:
    """Keys, unique indexes and references of clinics' tables that do not begin with the clinic."""
    found = []
    for table in Base.metadata.sorted_tables:
        if table.name in OUTSIDE_CLINICS:
            continue
        keys = [table.primary_key, *(index for index in table.indexes if index.unique)]
        found += [f"{table}: {key.name}" for key in keys if next(iter(key.columns)).name != "clinic_id"]
        for reference in table.foreign_key_constraints:
            if reference.referred_table.name not in OUTSIDE_CLINICS and list(reference.columns)[0].name != "clinic_id":
                found.append(f"{table}: {reference.name}")
    return found


def test_every_key_and_reference_begins_with_the_clinic() -> None:
    assert keys_across_clinics() == []


def test_deleting_a_contact_takes_only_the_own_clinics_relationships(committed_app: Flask, administrator: Administrator) -> None:
    """Even the table's owner, for whom no policy holds, deletes nothing of the other clinic by a cascade."""
    before = administrator.execute("SELECT clinic_id, count(*) FROM relationships GROUP BY 1").fetchall()
    administrator.execute("DELETE FROM contacts WHERE clinic_id = (SELECT clinic_id FROM clinic_addresses WHERE slug = 'oak-hill')")
    after = dict(administrator.execute("SELECT clinic_id, count(*) FROM relationships GROUP BY 1").fetchall())
    assert len(before) == 2
    assert len(after) == 1
    assert after.items() <= dict(before).items()


def check_invoice_numbers(app: Flask) -> None:
    numbers = {}
    for slug in (demo.ELM, demo.OAK):
        with inside(app, slug):
            found = db.session.scalars(select(Invoice.number).where(Invoice.number.is_not(None)).order_by(Invoice.number))
            numbers[slug] = list(found)
    for slug, listed in numbers.items():
        assert listed == list(range(1001, 1001 + len(listed))), slug
    same = {"id": uuid4(), "issued_on": clock.now().date(), "currency": "usd"}
    with inside(app, demo.OAK):
        nina = patient("Nina Lopez").id
    only_elms = max(numbers[demo.ELM])
    assert only_elms not in numbers[demo.OAK]
    assert refusal(app, Invoice, patient_id=nina, number=only_elms, **same) == ("done",)


def test_invoice_numbers_are_each_clinics_own(app: Flask) -> None:
    """A clinic's numbers have no gaps from the other's, so nobody can count a competitor's invoices."""
    check_invoice_numbers(app)


def test_planted_one_row_of_numbers_for_everybody(committed_app: Flask, administrator: Administrator) -> None:
    administrator.execute("DELETE FROM allocations; DELETE FROM invoice_lines; DELETE FROM account_lines; DELETE FROM invoices WHERE clinic_id IN (SELECT clinic_id FROM clinic_addresses WHERE slug = 'oak-hill')")
    administrator.execute("CREATE UNIQUE INDEX everywhere ON invoices (number)")
    with pytest.raises(AssertionError):
        check_invoice_numbers(committed_app)


def check_ids_are_random(connection: Administrator) -> None:
    columns = connection.execute(
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'public' AND (column_name = 'id' OR column_name LIKE '%%\\_id') "
        "AND column_name <> ALL (%s)",
        [list(NOT_OURS)],
    ).fetchall()
    assert not [column for column in columns if column[2] != "uuid"]
    for table, column, _type in columns:
        if column == "id":
            found = [row[0] for row in connection.execute(f'SELECT id FROM "{table}"').fetchall()]
            assert not [each for each in found if each.version != 4], table
    assert connection.execute("SELECT count(*) FROM pg_sequences WHERE schemaname = 'public'").fetchone() == (0,)


def test_public_ids_are_122_random_bits_and_nothing_is_counted(committed_app: Flask, administrator: Administrator) -> None:
    check_ids_are_random(administrator)


def test_planted_an_id_that_can_be_guessed(committed_app: Flask, administrator: Administrator) -> None:
    with inside(committed_app, demo.ELM):
        db.session.add(AuditEntry(id=uuid1(), at=clock.now(), actor_kind="system", event="x", details={}))
    with pytest.raises(AssertionError):
        check_ids_are_random(administrator)


def test_addresses_of_pages_hold_no_countable_number(app: Flask) -> None:
    counted = [
        str(rule) for rule in app.url_map.iter_rules()
        if any(type(kind).__name__ in ("IntegerConverter", "FloatConverter") for kind in rule._converters.values())
    ]  # fmt: skip
    assert counted == []


def test_search_finds_nobody_of_the_other_clinic(app: Flask) -> None:
    with inside(app, demo.OAK):
        assert patients.search("Leo") == []
        added = patients.add(PatientDetails("Leo Lopez", date(2018, 3, 14)))
        add_contact(added.id, ContactDetails("Omar Haddad", "omar@family.example"), RelationshipKind.PARENT)
        assert [row.id for row in patients.search("leo lop")] == [added.id]
    with inside(app, demo.ELM):
        assert len(db.session.scalars(select(Patient).where(Patient.name == "Leo Lopez")).all()) == 1
        assert user("omar@family.example").name == "Omar Haddad"


def upserted(app: Flask, name: str, update: bool) -> int:
    """How many rows an insert-or-else by Oak Hill's staff says it wrote."""
    with inside(app, demo.OAK):
        row = upsert(document_types.DocumentType).values(
            clinic_id=tenant.current_clinic_id(), name=name, position=99, is_visible_on_portal=False
        )
        keys = ["clinic_id", "name"]
        row = row.on_conflict_do_update(index_elements=keys, set_={"position": 99}) if update else row.on_conflict_do_nothing()
        return len(db.session.execute(row.returning(document_types.DocumentType.id)).all())


def check_upserts(app: Flask) -> None:
    with inside(app, demo.ELM):
        document_types.add("Elm's own kind of letter")
    assert upserted(app, "Elm's own kind of letter", update=False) == 1
    assert upserted(app, "Elm's own kind of letter", update=False) == 0  # now it is Oak's too
    assert upserted(app, "Elm's own kind of letter", update=True) == 1
    with inside(app, demo.ELM):
        assert db.session.scalars(select(document_types.DocumentType.position).where(document_types.DocumentType.name == "Elm's own kind of letter")).one() != 99


def test_an_insert_or_else_meets_only_the_own_clinic_s_rows(app: Flask) -> None:
    """"Nothing was written" would say: the other clinic has it."""
    check_upserts(app)


def test_planted_a_name_that_only_one_clinic_can_have(committed_app: Flask, administrator: Administrator) -> None:
    administrator.execute("DELETE FROM document_contents; DELETE FROM documents; DELETE FROM document_types WHERE clinic_id IN (SELECT clinic_id FROM clinic_addresses WHERE slug = 'oak-hill')")
    administrator.execute("CREATE UNIQUE INDEX everywhere ON document_types (name)")
    with pytest.raises(AssertionError):
        check_upserts(committed_app)


def running_statements(administrator: Administrator) -> str:
    """What the server shows of every connection's last statement: to the login, of all clinics."""
    mine = "SELECT string_agg(query, ' ') FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    return str(administrator.execute(mine).fetchone()[0])  # type: ignore[index, str-bytes-safe]


def test_what_is_typed_does_not_stand_in_the_server_s_list_of_statements(committed_app: Flask, administrator: Administrator) -> None:
    """All clinics share one login, which reads that list: a name sought at one clinic must not be there for another."""
    with inside(committed_app, demo.ELM):
        assert patients.search("cnryleo") == []
        assert "patients" in running_statements(administrator)
        assert "cnryleo" not in running_statements(administrator)


def test_planted_a_value_written_into_its_statement(committed_app: Flask, administrator: Administrator) -> None:
    with inside(committed_app, demo.ELM):
        db.session.execute(text("SELECT id FROM patients WHERE name = 'cnryleo'"))
        assert "cnryleo" in running_statements(administrator)
