"""T05: whatever is done in whatever order, what anybody reads is what they may read, and no more.

Lost if it fails: an order of events that nobody tried (invited, held, renamed, marked, lifted …) leaves a door open, or
shuts a family out. Hypothesis draws the events; the model (reading_model.py) says who may read what; after each step
every session of both clinics is asked, through the sign-in and by row security, and must read exactly that. The other
clinic's rows are in the same database all along. A failing order is printed at its shortest.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RULE_MARKER, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import select, text

from clinic import (
    access_holds,
    actors,
    coming_of_age,
    contacts,
    conversations,
    credentials,
    demo,
    demo_papers,
    document_types,
    documents,
    incoming_files,
    invitation_batches,
    invitations,
    patients,
    portal_home,
    portal_settings,
    portal_users,
    sessions,
    sign_in,
)
from clinic.actors import Actor, ActorKind
from clinic.contacts import RelationshipKind
from clinic.conversations import Written
from clinic.documents import DocumentDetails
from clinic.patients import PatientDetails, PatientStatus
from clinic.portal_settings import SettingsDetails
from clinic.portal_users import AccessDetails, HoldKind, PortalAccess
from tenancy import clinics, clock, keys, link_tokens, provisioning, tenant
from tenancy.clinics import ClinicEntry, Status
from tenancy.database import db, transaction
from tenancy.errors import Conflict, Refused
from tenancy.languages import Language
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.attack.reading_model import Access, Document, Model, Pair, User
from tests.inside import contact, inside, newest_link, patient
from tests.one_connection import rolled_back

MARIA, OMAR, GRACE, PETRA = (f"{name}@family.example" for name in ("maria", "omar", "grace", "petra"))
LEO, MIA, ZOE, SAM, NINA, PAUL = "Leo Lopez", "Mia Lopez", "Zoe Haddad", "Sam Grant", "Nina Lopez", "Paul Peters"
# clinic → (e-mail, patient) → the contact's name. A few stand by patients whom they do not see yet.
PAIRS = {
    demo.ELM: {
        (MARIA, LEO): "Maria Lopez",
        (MARIA, MIA): "Maria Lopez",
        (OMAR, ZOE): "Omar Haddad",
        (OMAR, LEO): "Omar Haddad",
        (GRACE, SAM): "Grace Grant",
        (GRACE, MIA): "Grace Grant",
    },
    demo.OAK: {(MARIA, NINA): "Maria Lopez", (PETRA, PAUL): "Petra Peters", (PETRA, NINA): "Petra Peters"},
}
PLACES = [(slug, *pair) for slug, pairs in PAIRS.items() for pair in pairs]
PEOPLE = list(dict.fromkeys((slug, email) for slug, email, _patient in PLACES))
PATIENTS = list(dict.fromkeys((slug, name) for slug, _email, name in PLACES))
TYPES = ("Plan of Care", "Progress Note", "Daily Note")
CHILD, ADULT = date(2018, 3, 14), date(2001, 3, 14)
WHY, PASSWORD = "A court said so", "six calm yellow boats"
READ = " UNION ALL ".join(
    f"SELECT '{table}', id FROM {table}" for table in ("documents", "invoices", "account_lines", "conversations")
) + " UNION ALL SELECT 'document_contents', document_id FROM document_contents UNION ALL SELECT 'patients', id FROM patients"

places, people, some_patients = st.sampled_from(PLACES), st.sampled_from(PEOPLE), st.sampled_from(PATIENTS)
slugs, yes_or_no = st.sampled_from((demo.ELM, demo.OAK)), st.booleans()


SignedIn = tuple[str, str, str]  # (clinic, e-mail, token)


@dataclass
class World:
    """Both clinics as every example finds them."""

    app: Flask
    entries: dict[str, ClinicEntry]
    models: dict[str, Model]
    ids: dict[tuple[str, str], UUID]  # (clinic, patient's, contact's or type's name) → id
    staff: dict[str, UUID]
    sessions: list[SignedIn]  # Maria's, at both


@pytest.fixture
def world(committed_app: Flask, monkeypatch: pytest.MonkeyPatch) -> World:
    # Hashing is slow on purpose and no part of this: who holds a password knows it.
    monkeypatch.setattr(credentials, "is_right", lambda holder, _password: holder is not None)
    monkeypatch.setattr(credentials, "choose", lambda *_: None)
    _stand_by_more(committed_app)
    found = World(committed_app, {}, {}, {}, {}, [])
    for slug, pairs in PAIRS.items():
        with inside(committed_app, slug) as clinic:
            found.entries[slug] = clinic
            found.models[slug] = _model_of(clinic)
            found.staff[slug] = db.session.scalars(text("SELECT id FROM staff_members WHERE role = 'admin'")).first()
            for name in {each for _email, each in pairs}:
                found.ids[slug, name] = patient(name).id
            for name in set(pairs.values()):
                found.ids[slug, name] = contact(name).id
            for each in document_types.listed():
                found.ids[slug, each.name] = each.id
        with inside(committed_app, slug, Role.DOOR):
            found.sessions.append((slug, MARIA, sign_in.portal_user(MARIA, PASSWORD).token or ""))
    return found


def _stand_by_more(app: Flask) -> None:
    with inside(app, demo.ELM):
        contacts.stand_by(contact("Omar Haddad").id, patient(LEO).id, RelationshipKind.OTHER)
        contacts.stand_by(contact("Grace Grant").id, patient(MIA).id, RelationshipKind.GRANDPARENT)
    with inside(app, demo.OAK):
        contacts.stand_by(contact("Petra Peters").id, patient(NINA).id, RelationshipKind.PARENT)


def _model_of(clinic: ClinicEntry) -> Model:
    """As the demo made it: read once, as staff."""
    kept = portal_settings.get()
    model = Model(
        takes_payments=clinic.payment_processing_is_on,
        types={each.name for each in document_types.listed() if each.is_visible_on_portal},
        shows_balance=kept.shows_balance,
        shows_invoices=kept.shows_invoices,
        allows_messages=kept.allows_messages,
    )
    rows = db.session.execute
    for email, accepted_at in rows(text("SELECT email_norm, accepted_at FROM portal_users")):
        model.users[email] = User(accepted_at is not None)
    for email, name, kind in rows(
        text("SELECT u.email_norm, p.name, a.relationship FROM portal_access a JOIN patients p ON p.id = a.patient_id "
             "JOIN portal_users u ON u.id = a.portal_user_id")
    ):
        model.access[email, name] = Access(True, True, kind == "self")
    for each, name, kind, status in rows(
        text("SELECT d.id, p.name, t.name, d.status FROM documents d JOIN patients p ON p.id = d.patient_id "
             "JOIN document_types t ON t.id = d.document_type_id")
    ):
        model.documents[each] = Document(name, kind, status == "signed")
    for each, name in rows(text("SELECT i.id, p.name FROM invoices i JOIN patients p ON p.id = i.patient_id WHERE i.number IS NOT NULL")):
        model.invoices[each] = name
    for each, name, invoice in rows(
        text("SELECT l.id, p.name, coalesce(i.invoice_id, a.invoice_id) FROM account_lines l JOIN patients p ON p.id = l.patient_id "
             "LEFT JOIN invoice_lines i ON i.line_id = l.id LEFT JOIN allocations a ON a.payment_line_id = l.id")
    ):
        model.lines[each] = (name, invoice)
    for each, email, name in rows(
        text("SELECT c.id, u.email_norm, p.name FROM conversations c JOIN patients p ON p.id = c.patient_id "
             "JOIN portal_users u ON u.id = c.portal_user_id")
    ):
        model.conversations[each] = (email, name)
    return model


class Town(RuleBasedStateMachine):
    """Two clinics, their staff's verbs, and the people who sign in at them."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.models = deepcopy(self.world.models)
        self.entries = dict(self.world.entries)
        self.sessions = list(self.world.sessions)
        self.carried: set[SignedIn] = set()
        self.touched: set[str] = set()  # clinics at which something was done since they were last asked
        self.renamed = 0
        self.standing = ExitStack()
        self.standing.enter_context(self.world.app.app_context())
        self.standing.enter_context(rolled_back(self.world.app))

    def teardown(self) -> None:
        """Once more everybody, also where nothing was done."""
        self.touched = set(PAIRS)
        try:
            self.every_session_reads_what_it_may_and_no_more()
        finally:
            actors.become(actors.SYSTEM)
            self.standing.close()

    # Where to stand

    @contextmanager
    def at(self, slug: str, role: Role = Role.STAFF, person: UUID | None = None) -> Iterator[Model]:
        self.touched.add(slug)
        actor = Actor(ActorKind.STAFF, self.world.staff[slug]) if role is Role.STAFF else actors.SYSTEM
        with clinics.open_clinic(self.entries[slug], role), actors.acting(actor):
            if person:
                tenant.become(role, person)
            with transaction():
                yield self.models[slug]

    def id_of(self, slug: str, name: str) -> UUID:
        return self.world.ids[slug, name]

    def contact_of(self, slug: str, pair: Pair) -> UUID:
        return self.id_of(slug, PAIRS[slug][pair])

    def access_of(self, slug: str, pair: Pair) -> UUID:
        of_whom = portal_users.find_by_email(pair[0])
        assert of_whom
        return db.session.scalars(
            select(PortalAccess.id).where(
                PortalAccess.portal_user_id == of_whom.id,
                PortalAccess.patient_id == self.id_of(slug, pair[1]),
                PortalAccess.ended_at.is_(None),
            )
        ).one()

    def today(self, slug: str) -> date:
        return clock.today(self.entries[slug].time_zone)

    # Inviting, accepting, signing in

    @rule(place=places)
    def invite(self, place: tuple[str, str, str]) -> None:
        slug, *pair = place
        email, name = pair
        with self.at(slug) as model:
            found = select(contacts.Relationship.id).where(
                contacts.Relationship.contact_id == self.contact_of(slug, (email, name)),
                contacts.Relationship.patient_id == self.id_of(slug, name),
            )
            batch = invitation_batches.confirm(invitation_batches.choose([db.session.scalars(found).one()]).id)
            fate = model.fate(email, name)
            assert {each.value for each in invitation_batches.fates(batch.id)} == {fate}
            if fate in ("invited", "access_added"):
                model.users.setdefault(email, User(accepted=False))
                access = Access(False, True, is_self=False, guardian=(email, name) in model.guardians)
                access.records = model.age_allows(access, name)
                model.access[email, name] = access

    @rule(person=people)
    def accept(self, person: tuple[str, str]) -> None:
        """By the newest link, with a birth date that the invitation asks for."""
        slug, email = person
        if not self.is_open(slug):
            return
        with self.at(slug) as model:
            user = portal_users.find_by_email(email)
            if user is None or user.accepted_at:
                return
            invitations.send(user)
            born = list(db.session.scalars(select(patients.Patient.birth_on).where(patients.Patient.id.in_(
                [self.id_of(slug, name) for owner, name in model.access if model.is_live((owner, name), self.today(slug)) and owner == email]
            )).order_by(patients.Patient.status)))  # fmt: skip
        with self.at(slug, Role.DOOR) as model:
            secret = link_tokens.token(
                keys.signing_key(link_tokens.KEY_PURPOSE), Purpose.INVITATION, newest_link(Purpose.INVITATION).id
            )
            outcome = invitations.accept(
                secret, birth_on=born[0] if born else CHILD, password=PASSWORD, language=Language.ENGLISH
            )
            assert bool(outcome.session_token) is model.may_accept(email, self.today(slug))
            if outcome.session_token:
                model.users[email].accepted = True
                self.keep(slug, email, outcome.session_token)

    @rule(person=people)
    def sign_in(self, person: tuple[str, str]) -> None:
        slug, email = person
        if self.is_open(slug):
            with self.at(slug, Role.DOOR) as model:
                token = sign_in.portal_user(email, PASSWORD).token
                known = model.users.get(email)
                assert bool(token) is bool(known and known.may_sign_in)
                if token:
                    self.keep(slug, email, token)

    def keep(self, slug: str, email: str, token: str) -> None:
        """Three browsers are enough."""
        self.sessions = [*self.sessions[-2:], (slug, email, token)]

    def is_open(self, slug: str) -> bool:
        """Whether a request finds the clinic, as the middleware decides it."""
        with clinics.nobody_asking(), transaction():
            found = clinics.find_at(self.entries[slug].slug)
        assert found and found.is_active is not self.models[slug].is_suspended
        return found.is_active

    # Access

    def with_access(self, place: tuple[str, str, str]) -> tuple[str, Pair, Access | None]:
        slug, email, name = place
        return slug, (email, name), self.models[slug].access.get((email, name))

    @rule(place=places, records=yes_or_no, billing=yes_or_no, days=st.sampled_from((None, 0, 1, 30)))
    def change_access(self, place: tuple[str, str, str], records: bool, billing: bool, days: int | None) -> None:
        slug, pair, access = self.with_access(place)
        if access is None:
            return
        ends_on = None if days is None else self.today(slug) + timedelta(days=days)
        is_refused = records and not access.records and not self.models[slug].age_allows(access, pair[1])
        try:
            with self.at(slug):
                portal_users.change_access(self.access_of(slug, pair), AccessDetails(records, billing, ends_on), WHY)
        except Refused:
            assert is_refused
            return
        assert not is_refused
        if records or billing:
            access.records, access.billing, access.ends_on = records, billing, ends_on
            access.came_of_age = access.came_of_age and not records
        else:
            del self.models[slug].access[pair]

    @rule(place=places)
    def unlink(self, place: tuple[str, str, str]) -> None:
        slug, pair, access = self.with_access(place)
        if access:
            with self.at(slug) as model:
                portal_users.unlink(self.access_of(slug, pair), WHY)
                del model.access[pair]

    @rule(place=places, days=st.sampled_from((None, 0, 1, 30)))
    def hold(self, place: tuple[str, str, str], days: int | None) -> None:
        slug, pair, access = self.with_access(place)
        if access is None:
            return
        until_on = None if days is None else self.today(slug) + timedelta(days=days)
        try:
            with self.at(slug):
                access_holds.hold(self.access_of(slug, pair), WHY, until_on)
        except Conflict:
            assert self.models[slug].is_held(pair, self.today(slug))
            return
        assert not self.models[slug].is_held(pair, self.today(slug))
        self.models[slug].holds[pair] = until_on

    @rule(place=places)
    def block(self, place: tuple[str, str, str]) -> None:
        slug, email, name = place
        try:
            with self.at(slug):
                access_holds.block(
                    self.id_of(slug, name), contact_id=self.contact_of(slug, (email, name)), email="", reason=WHY
                )
        except Conflict:
            assert (email, name) in self.models[slug].blocks
        self.models[slug].blocks.add((email, name))

    @rule(place=places)
    def lift_everything(self, place: tuple[str, str, str]) -> None:
        slug, _email, name = place
        with self.at(slug) as model:
            of_whom = self.id_of(slug, name)
            for each in access_holds.of_patient(of_whom):
                access_holds.lift(each.id, of_whom, HoldKind(each.kind), WHY)
            model.blocks = {pair for pair in model.blocks if pair[1] != name}
            model.holds = {pair: until for pair, until in model.holds.items() if pair[1] != name}

    @rule(place=places, is_guardian=yes_or_no)
    def mark_guardian(self, place: tuple[str, str, str], is_guardian: bool) -> None:
        slug, pair, access = self.with_access(place)
        with self.at(slug) as model:
            portal_users.mark_guardian(self.contact_of(slug, pair), self.id_of(slug, pair[1]), is_guardian, WHY)
            was_guardian = pair in model.guardians
            (model.guardians.add if is_guardian else model.guardians.discard)(pair)
            if access and was_guardian != is_guardian and self.was_given_to_contact(slug, pair):
                access.guardian = is_guardian
                if is_guardian and access.came_of_age:
                    access.records, access.came_of_age = True, False

    def was_given_to_contact(self, slug: str, pair: Pair) -> bool:
        given = select(PortalAccess.contact_id).where(PortalAccess.id == self.access_of(slug, pair))
        return db.session.scalars(given).one() == self.contact_of(slug, pair)

    @rule(person=people)
    def deactivate_or_reactivate(self, person: tuple[str, str]) -> None:
        slug, email = person
        with self.at(slug) as model:
            known = model.users.get(email)
            found = portal_users.find_by_email(email)
            assert (known is None) is (found is None)
            if known and found:
                (portal_users.reactivate if known.deactivated else portal_users.deactivate)(found.id)
                known.deactivated = not known.deactivated
                if known.deactivated:
                    self.forget(lambda session: session[:2] == (slug, email))

    def forget(self, which: Callable[[SignedIn], bool]) -> None:
        self.sessions = [each for each in self.sessions if not which(each)]

    # Patients and their documents

    @rule(who=some_patients, is_adult=yes_or_no, is_discharged=yes_or_no)
    def correct_patient(self, who: tuple[str, str], is_adult: bool, is_discharged: bool) -> None:
        slug, name = who
        with self.at(slug) as model:
            status = PatientStatus.INACTIVE if is_discharged else PatientStatus.ACTIVE
            patients.change(self.id_of(slug, name), PatientDetails(name, ADULT if is_adult else CHILD, status=status))
            (model.adults.add if is_adult else model.adults.discard)(name)
            (model.discharged.add if is_discharged else model.discharged.discard)(name)

    @rule(slug=slugs)
    def run_the_hourly_job(self, slug: str) -> None:
        self.touched.add(slug)
        with clinics.open_clinic(self.entries[slug], Role.STAFF):
            coming_of_age.come_of_age()
        self.models[slug].come_of_age()

    @rule(who=some_patients, kind=st.sampled_from(TYPES), is_signed=yes_or_no)
    def file_a_document(self, who: tuple[str, str], kind: str, is_signed: bool) -> None:
        slug, name = who
        with self.at(slug) as model:
            details = DocumentDetails("A page", self.id_of(slug, kind), self.today(slug))
            added = documents.add(self.id_of(slug, name), details, PAGE)
            if is_signed:
                documents.sign(added.id)
            model.documents[added.id] = Document(name, kind, is_signed)

    @rule(slug=slugs, which=st.integers(0, 30))
    def hold_back_or_release_a_document(self, slug: str, which: int) -> None:
        with self.at(slug) as model:
            each = list(model.documents)[which % len(model.documents)]
            document = model.documents[each]
            if document.is_held:
                documents.release(each)
            else:
                documents.hold_back(each, WHY)
            document.is_held = not document.is_held

    @rule(place=places)
    def write_to(self, place: tuple[str, str, str]) -> None:
        slug, email, name = place
        with self.at(slug) as model:
            found = portal_users.find_by_email(email)
            if found is None:
                return
            may_read = model.users[email].may_sign_in and model.allows_messages
            may_read = may_read and model.patients(email, self.today(slug)).get(name, (False, False))[0]
            try:
                begun = conversations.write_to(found.id, self.id_of(slug, name), "News", Written("For you"))
            except Conflict:
                assert not may_read
            else:
                assert may_read
                model.conversations[begun.id] = (email, name)

    # The clinic

    @rule(slug=slugs, types=st.sets(st.sampled_from(TYPES)), balance=yes_or_no, invoices=yes_or_no, messages=yes_or_no)
    def save_settings(self, slug: str, types: set[str], balance: bool, invoices: bool, messages: bool) -> None:
        with self.at(slug) as model:
            shown = {self.id_of(slug, each) for each in types}
            address = self.entries[slug].slug
            portal_settings.save(SettingsDetails(address, "desk@clinic.example", shown, balance, invoices, True, messages))
            model.types, model.allows_messages = set(types), messages
            if model.takes_payments:
                model.shows_balance, model.shows_invoices = balance, invoices

    @rule(slug=slugs, is_on=yes_or_no)
    def switch_payment_processing(self, slug: str, is_on: bool) -> None:
        with self.at(slug, Role.OPERATOR) as model:
            provisioning.set_payment_processing(is_on)
            model.takes_payments = is_on

    @rule(slug=slugs)
    def rename(self, slug: str) -> None:
        self.renamed += 1
        with self.at(slug):
            portal_settings.rename_portal(f"{slug}-{self.renamed}")
            self.entries[slug] = clinics.current()
        self.forget(lambda session: session[0] == slug)

    @rule(slug=slugs)
    def suspend_or_resume(self, slug: str) -> None:
        with self.at(slug, Role.OPERATOR) as model:
            model.is_suspended = not model.is_suspended
            provisioning.set_status(Status.SUSPENDED if model.is_suspended else Status.ACTIVE)

    @rule(days=st.sampled_from((1, 2, 31)))
    def let_days_pass(self, days: int) -> None:
        """Every sign-in is over by then."""
        self.standing.enter_context(clock.moved(timedelta(days=days)))
        self.sessions = []

    # What anybody reads

    @invariant()
    def every_session_reads_what_it_may_and_no_more(self) -> None:
        asked, self.touched = self.touched, set()
        for slug, email, token in (each for each in self.sessions if each[0] in asked):
            if (slug, email, token) not in self.carried:  # to the other clinic, once each
                self.carried.add((slug, email, token))
                assert all(self.read(other, token) is None for other in PAIRS if other != slug)
            assert self.read(slug, token) == (None if self.models[slug].is_suspended else self.expected(slug, email))

    def read(self, slug: str, token: str) -> dict[str, Any] | None:
        """By a cookie's token at a clinic: None where nobody is let in."""
        if self.models[slug].is_suspended and not self.is_open(slug):
            return None
        with clinics.open_clinic(self.entries[slug], Role.DOOR):
            with transaction():
                live = sessions.find_live(token)
                user_id = live.holder.portal_user_id if live else None
                user = portal_users.find_signed_in(user_id) if user_id else None
            if user is None:
                return None
            tenant.become(Role.PORTAL, user.id)
            with transaction():
                found: dict[str, Any] = {"pages": {each.id: (each.records, each.billing) for each in portal_home.patients()}}
                for table, each in db.session.execute(text(READ)):
                    found.setdefault(table, set()).add(each)
        return found

    def expected(self, slug: str, email: str) -> dict[str, Any]:
        model, today = self.models[slug], self.today(slug)
        found: dict[str, Any] = {"pages": {self.id_of(slug, name): parts for name, parts in model.patients(email, today).items()}}
        readable = model.readable(email, today)
        readable["patients"] = {self.id_of(slug, str(name)) for name in readable["patients"]}
        readable["document_contents"] = readable["documents"]
        return found | {table: ids for table, ids in readable.items() if ids}


PAGE = incoming_files.TakenFile("a.pdf", incoming_files.PDF, demo_papers.pdf("A page", []))
EVERY_DAY = settings(
    max_examples=30, stateful_step_count=20, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
LONG = settings(EVERY_DAY, max_examples=200, stateful_step_count=50)
MANY = settings(EVERY_DAY, max_examples=4_800, stateful_step_count=4)


def play(world: World, how: settings) -> None:
    run_state_machine_as_test(type("Town", (Town,), {"world": world}), settings=how)


def test_everybody_reads_what_they_may(world: World) -> None:
    play(world, EVERY_DAY)


@pytest.mark.slow
def test_everybody_reads_what_they_may_in_200_long_stories(world: World) -> None:
    play(world, LONG)


@pytest.mark.slow
def test_everybody_reads_what_they_may_in_4800_short_stories(world: World) -> None:
    play(world, MANY)


def steps_of(error: BaseException) -> list[str]:
    """The shortest story that fails, as Hypothesis prints it."""
    told = "\n".join(getattr(error, "__notes__", []))
    return [line.strip() for line in told.splitlines() if line.strip().startswith("state.") and "=" in line]


RULES = {name for name, each in vars(Town).items() if hasattr(each, RULE_MARKER)}
SEEN_AND_SHRUNK = (Phase.generate, Phase.shrink)
WEAKNESSES: dict[str, tuple[Any, str, Callable[..., Any], str]] = {
    "unlinking is forgotten": (portal_users, "unlink", lambda *_: None, "unlink"),
    "a hold holds nothing": (access_holds, "hold", lambda *_: None, "hold"),
}


@pytest.mark.parametrize("name", WEAKNESSES)
def test_planted_weaknesses_are_found_and_told_in_a_few_steps(world: World, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    module, verb, weak, culprit = WEAKNESSES[name]
    monkeypatch.setattr(module, verb, weak)
    few = {each: None for each in RULES - {"invite", "sign_in", "save_settings", culprit}}  # to be seen soon
    short = settings(EVERY_DAY, max_examples=300, stateful_step_count=6, report_multiple_bugs=False, phases=SEEN_AND_SHRUNK)
    with pytest.raises(AssertionError) as failed:
        run_state_machine_as_test(type("Few", (Town,), {"world": world, **few}), settings=short)
    steps = steps_of(failed.value)
    assert any(f"state.{culprit}(" in each for each in steps) and len(steps) <= 3, "\n".join(steps)
