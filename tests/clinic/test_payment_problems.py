"""What about money a person must look at: told once, listed with whose it is, settled by somebody.

Lost if it fails: a family has paid twice and nobody knows; or the clinic is told of it every minute, and stops reading.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import select, text

from clinic import demo
from clinic.money import Money
from clinic.payments import Payment, PaymentProblem, PaymentStatus, problems
from clinic.payments.problems import ProblemKind
from tenancy import clock
from tenancy.database import db
from tenancy.errors import Conflict, NotFound
from tests import books, inside
from tests.access import recorded
from tests.clinic.test_payment_entering import claimed
from tests.paying import BEN, Desk, give_billing


def report(desk: Desk, kind: ProblemKind, about: str, payment: UUID | None = None, amount: Money | None = None) -> bool:
    with desk.clinic_transaction():
        return problems.report(kind, about, payment, amount)


def settle(desk: Desk, kind: ProblemKind) -> None:
    with desk.staff():
        problems.settle(next(each.id for each in problems.still_open() if each.kind == kind))


def test_each_problem_is_listed_with_its_payment_and_its_patient(desk: Desk) -> None:
    """The newest first; what carries no payment of ours is nobody's."""
    mine = desk.begin(desk.invoice(5000))
    with desk.staff():
        other_patient = books.newcomer()
        give_billing(desk.maria, other_patient)
        books.invoice(other_patient, 700)
    other = Desk(desk.app, desk.fake, desk.clinic, desk.account_id, other_patient, desk.maria).begin(amount=700)
    report(desk, ProblemKind.CREDITED, str(mine), mine, Money(1, "usd"))
    with clock.moved(timedelta(minutes=1)):
        report(desk, ProblemKind.MISSING, str(other), other)
    with clock.moved(timedelta(minutes=2)):
        report(desk, ProblemKind.UNKNOWN, "pi_1", None, Money(900, "jpy"))
    with desk.clinic_transaction():
        found = problems.still_open()
        assert problems.count_open() == 3
    assert [(each.kind, each.object_id, each.payment_id, each.patient_id, each.amount) for each in found] == [
        ("unknown", "pi_1", None, None, Money(900, "jpy")),
        ("missing", str(other), other, other_patient, None),
        ("credited", str(mine), mine, desk.patient_id, Money(1, "usd")),
    ]
    assert [each.patient_name for each in found] == [None, "Nell Newcomer", "Nell Newcomer"]


def test_a_problem_is_told_once_to_everybody_who_keeps_the_books(desk: Desk) -> None:
    """Also after it was settled: what was decided by a person is not asked again every hour."""
    assert report(desk, ProblemKind.UNKNOWN, "pi_1", None, Money(500, "usd"))
    assert not report(desk, ProblemKind.UNKNOWN, "pi_1")
    assert desk.letters() == ["payment_problem_found"] * 2
    assert recorded(desk.app, "payment_problem.found") == [{"kind": "unknown", "object": "pi_1"}]
    settle(desk, ProblemKind.UNKNOWN)
    assert not report(desk, ProblemKind.UNKNOWN, "pi_1")
    assert report(desk, ProblemKind.DIFFERS, "pi_1") and report(desk, ProblemKind.UNKNOWN, "pi_2")
    assert desk.problems() == ["unknown", "differs", "unknown"]


def test_two_who_find_the_same_at_once_tell_it_once(committed_app: Flask) -> None:
    """An event and the reconciliation, in two processes: the second waits for the first, and says nothing more."""
    found, gate = [], threading.Barrier(2)

    def first() -> None:
        with inside.inside(committed_app, demo.ELM):
            found.append(problems.report(ProblemKind.UNKNOWN, "pi_1"))
            gate.wait(20)
            _until_somebody_waits()

    def second() -> None:
        gate.wait(20)
        with inside.inside(committed_app, demo.ELM):
            found.append(problems.report(ProblemKind.UNKNOWN, "pi_1"))

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(first), pool.submit(second)]:
            each.result(timeout=30)
    assert found == [True, False]
    assert [each.kind for each in inside.letters(committed_app, demo.ELM)].count("payment_problem_found") == 2


def _until_somebody_waits() -> None:
    """Until another connection waits for what this transaction holds."""
    for _ in range(400):
        if db.session.scalars(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).one():
            return
        time.sleep(0.02)
    raise AssertionError("Nobody waits.")


# Settled


def test_who_settled_it_is_on_record(desk: Desk) -> None:
    payment = desk.paid(desk.invoice(5000))
    report(desk, ProblemKind.CREDITED, str(payment), payment)
    settle(desk, ProblemKind.CREDITED)
    with desk.staff():
        settled = db.session.scalars(select(PaymentProblem)).one()
        assert settled.settled_at and settled.settled_by_id == inside.member(BEN).id
        assert problems.still_open() == [] and problems.count_open() == 0
        with pytest.raises(Conflict):
            problems.settle(settled.id)
        with pytest.raises(NotFound):
            problems.settle(uuid4())
    assert recorded(desk.app, "payment_problem.settled") == [{"kind": "credited", "object": str(payment)}]
    assert desk.status(payment) == "succeeded"


@pytest.mark.parametrize("kind", [ProblemKind.DIFFERS, ProblemKind.CREDITED])
def test_settling_anything_else_leaves_what_somebody_is_paying(desk: Desk, kind: ProblemKind) -> None:
    """Lost: a payment that is under way is called failed, and its invoice is paid a second time."""
    invoice = desk.invoice(5000)
    payment = desk.begin(invoice)
    report(desk, kind, str(payment), payment)
    settle(desk, kind)
    assert desk.status(payment) == "starting" and claimed(desk, payment) == [invoice]


def test_what_stripe_shows_nobody_any_more_holds_its_invoice_until_that_is_settled(desk: Desk) -> None:
    """Nobody is told that a payment failed of which nobody knows: the clinic speaks with the family."""
    invoice = desk.invoice(5000)
    payment = desk.pay(invoice)
    report(desk, ProblemKind.UNREADABLE, str(payment), payment)
    assert claimed(desk, payment) == [invoice]
    settle(desk, ProblemKind.UNREADABLE)
    found = desk.payment(payment)
    assert (found.status, found.fault, claimed(desk, payment)) == ("failed", "unreadable", []) and found.ended_at
    assert desk.events("payment.")[-1] == "payment.failed" and "payment_failed" not in desk.letters()
    assert recorded(desk.app, "payment.failed") == [{"fault": "unreadable"}]
    assert desk.begin(invoice)


def test_what_came_after_all_stays_when_it_is_settled(desk: Desk) -> None:
    payment = desk.paid(desk.invoice(5000))
    other = desk.begin(desk.invoice(700))
    report(desk, ProblemKind.UNREADABLE, str(payment), payment)
    settle(desk, ProblemKind.UNREADABLE)
    assert (desk.status(payment), desk.status(other)) == (PaymentStatus.SUCCEEDED, PaymentStatus.STARTING)


def test_what_is_no_payment_of_ours_is_settled_too(desk: Desk) -> None:
    """A thing of somebody else's under this account's name."""
    payment = desk.begin(desk.invoice(700))
    report(desk, ProblemKind.UNREADABLE, "pi_of_another")
    settle(desk, ProblemKind.UNREADABLE)
    with desk.clinic_transaction():
        assert problems.count_open() == 0 and db.session.scalars(select(Payment.status)).one() == "starting"
    assert desk.status(payment) == "starting"
