"""T18: the books of two clinics add up at every instant, whoever is killed, stopped or cut off, and in the end equal Stripe's.

Lost if it fails: on a bad day a payment that somebody was told about is gone, an invoice is paid twice or paid by another
family's money, or nobody can say any more what the clinic has.

bill, pay, pay a part, give back, cash, void, discount, correct, dispute, by many at two clinics, while: any process is
killed -9, PostgreSQL restarts, webhooks are lost, doubled and late, Stripe fails, a process stands still for ten seconds, two
reconciliations run at once · always: 0 <= paid <= total, no more allocated than paid, nothing entered is ever changed, each
thing that was told as done is there, nothing is of two clinics · after quiet: equal to Stripe per account, nothing unfinished
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random, SystemRandom

import pytest
from flask import Flask
from sqlalchemy import select

from clinic import billing_settings, demo, reconciliation
from clinic.invoices import allocating
from clinic.payments import PaymentProblem
from clinic.portal_users import PortalUser
from clinic.stripe_gateway import StripeFault
from tenancy import clock, embedded_postgres
from tenancy.database import db
from tenancy.errors import PorticoError
from tenancy.settings import Settings
from tests import books, inside
from tests.attack import nemesis
from tests.attack.hands import Diary, Hand
from tests.attack.money_invariants import Books, Broken, Connection
from tests.attack.nemesis import Nemesis, Processes
from tests.conftest import Cluster, connected, one_more_app, with_the_cast
from tests.journeys.running import free_port
from tests.paying import BEN, MARIA, Desk, give_billing, use_account
from tests.stripe_fake.client import NotPossible, StripeFake

SECONDS = int(os.environ.get("NEMESIS_SECONDS", "600"))
PAUSE = float(os.environ.get("NEMESIS_PAUSE", "0.3"))
SEED = int(os.environ.get("NEMESIS_SEED", "0")) or SystemRandom().randrange(10_000)
HANDS = 4
BLOWS, PROMISES, MOST_SECONDS = 8, 10, 120  # at least, and however long that takes
QUIET_ROUNDS = 8
AN_HOUR = timedelta(minutes=65)
KEEPERS = {demo.ELM: BEN, demo.OAK: "ola@oak.example"}
# What cannot be for anything that was done here.
WRONG = {"differs", "unknown", "missing", "unreadable", "refund_unclear", "dispute_unclear"}


@dataclass
class Stage:
    app: Flask
    fake: StripeFake
    books: Books
    diary: Diary
    desks: list[Desk]

    def check(self) -> None:
        self.books.check(self.diary.promised())
        assert self.diary.unexpected() == [], self.diary.unexpected()[0]


@contextmanager
def staged(settings: Settings, url: str, fake: StripeFake, folder: Path, patients: int = 4) -> Iterator[Stage]:
    """Some patients at each of the two clinics, for each of whom Maria may pay."""
    with one_more_app(replace(settings, port=free_port())) as app, connected(app, fake):
        desks = [desk for slug in KEEPERS for desk in _desks(app, fake, slug, patients)]
        with app.app_context():
            db.engine.dispose()
        yield Stage(app, fake, Books(url), Diary(folder / "diary"), desks)


def _desks(app: Flask, fake: StripeFake, slug: str, patients: int) -> list[Desk]:
    account_id = fake.account()
    with inside.inside(app, slug) as clinic:
        use_account(account_id)
        billing_settings.get().allows_partial = True
        maria = db.session.scalars(select(PortalUser.id).where(PortalUser.email_norm == MARIA)).one()
        found = [books.newcomer() for _ in range(patients)]
        for patient in found:
            give_billing(maria, patient)
    return [Desk(app, fake, clinic, account_id, patient, maria, KEEPERS[slug]) for patient in found]


@dataclass(frozen=True)
class Pace:
    """In seconds. The ten minutes leave a part of the machine to whatever is tested beside them."""

    still: float  # a process that stands still
    between_deeds: float = 0.0
    between_blows: float = 0.8
    between_looks: float = 0.3
    between_reconciliations: float = 1.0


def fight(stage: Stage, seconds: float, cut_off: Callable[[], None], pace: Pace, *, seed: int = SEED) -> Processes:
    """Everybody at work, disturbed all the while; the books are looked at after each blow."""
    settings = stage.app.config["PORTICO"]
    works: dict[str, Callable[[Random], object]] = {
        f"hand {number}": lambda draw: Hand(stage.desks, stage.diary, draw, pace.between_deeds).work() for number in range(HANDS)
    }
    works |= {
        "worker": lambda _: nemesis.does_the_jobs(stage.app),
        "follow-up": lambda _: nemesis.looks_again(stage.desks, pace.between_looks),
        "reconciler 1": lambda _: nemesis.reconciles(stage.desks, pace.between_reconciliations),
        "reconciler 2": lambda _: nemesis.reconciles(stage.desks, pace.between_reconciliations),
        "door": lambda _: nemesis.stands_at_the_door(stage.app, settings.port),
    }
    processes = Processes(stage.app, stage.diary, works, seed)
    disturber = Nemesis(processes, stage.fake, Random(seed), cut_off, pace.still)
    stage.fake.webhooks_to(f"http://{settings.authority}/webhooks/stripe")
    try:
        for name in works:
            processes.start(name)
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds or (is_too_little(stage) and passed < MOST_SECONDS):
            time.sleep(disturber.draw.uniform(0.2, 2 * pace.between_blows))
            disturber.strike()
            stage.check()
    finally:
        processes.kill_all()
    return processes


def is_too_little(stage: Stage) -> bool:
    """A busy machine does less in the same time."""
    return stage.books.looks < BLOWS or len(stage.diary.promised()) < PROMISES


def quiet(stage: Stage) -> None:
    """Nobody is there any more; an hour later what runs by itself has run."""
    stage.fake.webhooks_to(None)
    stage.fake.clear_faults()
    stage.fake.advance(int(AN_HOUR.total_seconds()))
    with clock.moved(AN_HOUR):
        for _ in range(QUIET_ROUNDS):
            nemesis.does_the_jobs(stage.app)
            nemesis.looks_again(stage.desks, pause_seconds=0)
            last = nemesis.reconciles(stage.desks, pause_seconds=0)
            if not (last.corrected or last.told) and last.is_complete:
                break
        else:
            raise Broken(f"the reconciliation finds something each time: {last}")
    stage.check()
    stage.books.check_finished()
    for desk in nemesis.one_of_each_clinic(stage.desks):
        charges = {each["id"] for each in stage.fake.objects("charge", desk.account_id) if each["status"] == "succeeded"}
        stage.books.check_equal(desk.clinic.id, stage.fake.balance(desk.account_id).get("usd", 0), charges)
        with desk.clinic_transaction():
            assert not WRONG & set(db.session.scalars(select(PaymentProblem.kind)))


@pytest.fixture
def everyday(cluster: Cluster, stripe_fake: StripeFake, tmp_path: Path) -> Iterator[Stage]:
    settings = cluster.copy()
    try:
        with staged(settings, cluster.url_of(settings), stripe_fake, tmp_path) as stage:
            yield stage
    finally:
        cluster.drop(settings)


def terminate_all(stage: Stage) -> None:
    """As a restart looks to everybody who is connected."""
    with stage.books.connected() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_the_books_add_up_whoever_is_killed(everyday: Stage) -> None:
    fight(everyday, 8, partial(terminate_all, everyday), Pace(still=2))
    quiet(everyday)
    assert not is_too_little(everyday)


def restart(server: embedded_postgres.Server, draw: Random) -> None:
    """In order, or as if the power had gone."""
    mode = draw.choice(("fast", "immediate"))
    server._run("pg_ctl", "restart", "-D", server.data, "-l", server.log, "-m", mode, "-w", "-t", 60)


@pytest.mark.slow
@pytest.mark.long
def test_the_books_add_up_for_ten_minutes(stripe_fake: StripeFake, tmp_path: Path) -> None:
    """On a server of its own, which keeps what it was told to keep, and is restarted."""
    print(f"NEMESIS_SEED={SEED}")
    server = embedded_postgres.Server(Path(tempfile.mkdtemp(prefix="portico-nemesis-"))).start()
    try:
        cluster = with_the_cast(server.superuser_url())
        settings = cluster.copy()
        with staged(settings, cluster.url_of(settings), stripe_fake, tmp_path, patients=15) as stage:
            pace = Pace(still=10, between_deeds=PAUSE, between_blows=1.5, between_looks=1, between_reconciliations=6)
            processes = fight(stage, SECONDS, partial(restart, server, Random(SEED)), pace)
            quiet(stage)
        counted = len(stage.diary.promised()), len(stage.books.seen), stage.books.looks, processes.begun
        print("{} promises, {} rows, {} looks, {} processes".format(*counted))
    finally:
        server.discard()


# Planted weaknesses


def calm(stage: Stage, deeds: int, draw: Random) -> None:
    """So many things done one after the other, and nobody disturbs."""
    hand = Hand(stage.desks, stage.diary, draw)
    for _ in range(deeds):
        with suppress(PorticoError, StripeFault, NotPossible):
            hand.work()


class Tampered(Books):
    """As if somebody had changed the tables themselves."""

    def __init__(self, url: str, statement: str) -> None:
        super().__init__(url)
        self.statement = statement

    def connected(self) -> Connection:
        connection = super().connected()
        connection.autocommit = False
        connection.execute("SET session_replication_role = replica")
        assert connection.execute(self.statement).rowcount > 0
        return connection


TAMPERED = {
    "an amount is changed": "UPDATE account_lines SET amount_minor = amount_minor + 1 WHERE kind = 'discount' OR kind = 'charge'",
    "what was promised is gone": "DELETE FROM account_lines WHERE kind = 'payment' AND method = 'cash'",
    "an invoice is paid once more": "INSERT INTO allocations (clinic_id, patient_id, payment_line_id, invoice_id, amount_minor, allocated_at) "
    "SELECT clinic_id, patient_id, payment_line_id, invoice_id, amount_minor, allocated_at FROM allocations WHERE amount_minor > 0",
    "a payment is another clinic's": "UPDATE payments p SET clinic_id = c.id FROM clinics c WHERE c.id <> p.clinic_id AND line_id IS NOT NULL",
    "a payment is not what was entered": "UPDATE payments SET amount_minor = amount_minor + 1 WHERE line_id IS NOT NULL",
    "a number is missing": "DELETE FROM invoices WHERE number = (SELECT min(number) + 1 FROM invoices)",
    "a correction is of something else": "UPDATE account_lines SET amount_minor = amount_minor * 2 WHERE corrects_id IS NOT NULL",
}


def test_planted_somebody_changed_the_tables(everyday: Stage) -> None:
    calm(everyday, 60, Random(18))
    quiet(everyday)
    for what, statement in TAMPERED.items():
        tampered = Tampered(everyday.books.url, statement)
        tampered.seen = dict(everyday.books.seen)
        with pytest.raises(Broken):
            tampered.check(everyday.diary.promised())
            pytest.fail(what)
    everyday.check()


def test_planted_stripe_has_what_the_books_have_not(everyday: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reconciliation that does not ask for refunds, and no event came."""
    desk = everyday.desks[0]
    everyday.fake.refund(desk.account_id, desk.intent(desk.paid(desk.invoice(5000))), 2000)
    monkeypatch.setattr(reconciliation, "reconcile", reconciliation.Outcome)  # also when its hour comes meanwhile
    with pytest.raises(Broken, match="Stripe has 3000"):
        quiet(everyday)


def test_planted_an_allocation_that_does_not_ask_what_is_due(everyday: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocating, "due_of", lambda ids: dict.fromkeys(ids, books.usd(1_000_000)))
    draw = Random(18)
    with pytest.raises(Broken, match="paid more than it comes to"):
        for _ in range(20):
            calm(everyday, 10, draw)
            everyday.check()


def test_planted_an_error_that_only_a_worker_sees(everyday: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of ours in a process that nobody looks at."""
    monkeypatch.setattr(nemesis.payments, "look_again", lambda: 1 / 0)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        fight(everyday, 30, lambda: None, Pace(still=0))
