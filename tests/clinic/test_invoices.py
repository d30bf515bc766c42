"""Lost if it fails: invoice numbers with gaps that an auditor asks about, an invoice that changes after it was sent, money
that disappears with a voided one."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import select, text

from clinic import account, billing, demo, invoices
from clinic.invoices import Invoice, InvoiceLine, InvoiceStatus
from tenancy import clinics, clock
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tests.access import recorded
from tests.attack.test_races import at_once
from tests.books import being_paid, cash, charge, draft, invoice, newcomer, usd
from tests.inside import inside, patient


def numbers() -> list[int | None]:
    return list(db.session.scalars(select(Invoice.number).where(Invoice.number.is_not(None)).order_by(Invoice.number)))


def test_a_draft_becomes_an_invoice_with_the_next_number(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell, last = newcomer(), numbers()[-1]
        made = draft(nell, 5000, 2500)
        assert invoices.of_patient(nell) == [] and invoices.of_patient(nell, drafts=True)[0].status == InvoiceStatus.DRAFT
        with pytest.raises(NotFound):
            invoices.get_of_patient(made, nell)
        assert invoices.issue(made, nell) == (last or 0) + 1
        row = invoices.get_of_patient(made, nell).invoice
        today = clock.today(clinics.current().time_zone)
        assert (row.total, row.due, row.status) == (usd(7500), usd(7500), InvoiceStatus.OPEN)
        assert (row.issued_on, row.due_on) == (today, today + timedelta(days=30))
        assert not row.is_overdue(today + timedelta(days=30)) and row.is_overdue(today + timedelta(days=31))
    assert recorded(app, "invoice.issued")[-1]["number"] == row.number


def test_a_draft_takes_lines_and_gives_them_up(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        made, more = draft(nell, 5000), charge(nell, 1000)
        assert [each.id for each in invoices.unbilled_of(nell)] == [more]
        invoices.add_lines(made, nell, [more])
        assert invoices.unbilled_of(nell) == []
        assert invoices.rows_of([made])[made].total == usd(6000)
        invoices.remove_line(made, nell, more)
        with pytest.raises(NotFound):
            invoices.remove_line(made, nell, more)
        assert [each.id for each in invoices.unbilled_of(nell)] == [more]
        invoices.discard(made, nell)
        assert len(invoices.unbilled_of(nell)) == 2
        assert invoices.of_patient(nell, drafts=True) == []
        assert db.session.scalars(select(InvoiceLine).where(InvoiceLine.invoice_id == made)).all() == []
    assert len(recorded(app, "invoice.discarded")) == 1


def test_what_cannot_stand_on_an_invoice_is_refused(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell, leo = newcomer(), patient("Leo Lopez").id
        wrong, theirs = charge(nell, 100), charge(leo, 100)
        correction = account.reverse(wrong, nell, "Twice")
        for lines in ([], [wrong], [correction], [cash(nell, 100)]):
            with pytest.raises(Refused):
                invoices.draft(nell, lines)
        for unknown in (theirs, uuid4()):
            with pytest.raises(NotFound):
                invoices.draft(nell, [unknown])
        billed = charge(nell, 100)
        made = invoices.draft(nell, [billed, billed])
        assert invoices.rows_of([made])[made].total == usd(100)
        with pytest.raises(Conflict):
            invoices.draft(nell, [billed])
        with pytest.raises(Refused):
            invoices.add_lines(made, nell, [])


def test_nothing_is_issued_that_bills_nothing(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell, last = newcomer(), numbers()[-1]
        empty = draft(nell, 5000)
        invoices.remove_line(empty, nell, invoices.lines_on(empty)[0])
        with pytest.raises(Refused):
            invoices.issue(empty, nell)
        only = charge(nell, 5000)
        off = billing.discount(only, nell, usd(4000), "Hardship")
        with pytest.raises(Refused):
            invoices.issue(invoices.draft(nell, [off]), nell)
        today = clock.today(clinics.current().time_zone)
        dated = draft(nell, 100)
        for days in (-1, 367):
            with pytest.raises(Refused):
                invoices.issue(dated, nell, today + timedelta(days=days))
        assert numbers()[-1] == last


def test_an_issued_invoice_stays_as_it_was_sent(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        sent, more = invoice(nell, 5000), charge(nell, 100)
        line = invoices.lines_on(sent)[0]
        tries: list[Callable[[], object]] = [
            lambda: invoices.issue(sent, nell), lambda: invoices.discard(sent, nell),
            lambda: invoices.add_lines(sent, nell, [more]), lambda: invoices.remove_line(sent, nell, line),
        ]  # fmt: skip
        for each in tries:
            with pytest.raises(Conflict):
                each()
        assert db.session.execute(text("DELETE FROM invoice_lines")).rowcount != 0
        assert invoices.lines_on(sent) == [line], "the database kept the issued one"


def test_a_void_invoice_comes_to_nothing_and_what_was_paid_is_credit(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        sent, paid = invoice(nell, 5000, 2000), cash(nell, 6000)
        billing.discount(invoices.lines_on(sent)[0], nell, usd(500), "Sibling")
        invoices.allocate_oldest_first(paid)
        invoices.void(sent, nell, "  Another family's visit ")
        page = invoices.get_of_patient(sent, nell)
        assert (page.invoice.total, page.invoice.paid, page.invoice.status) == (usd(0), usd(0), InvoiceStatus.VOID)
        assert (page.payments, page.voided_reason, len(page.lines)) == ([], "Another family's visit", 6)
        assert account.credit_of(paid) == usd(6000)
        assert account.balance_of_patient(nell, "usd") == usd(-6000)
        with pytest.raises(Conflict):
            invoices.void(sent, nell, "Once more")
        assert invoices.issue(draft(nell, 100), nell) == (page.invoice.number or 0) + 1
    assert recorded(app, "invoice.voided")[-1] == {"number": page.invoice.number}


def test_what_is_not_issued_or_is_being_paid_is_not_voided(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        made, sent = draft(nell, 100), invoice(nell, 5000)
        with pytest.raises(Refused):
            invoices.void(sent, nell, " ")
        being_paid(sent, nell, 5000)
        for each in (made, sent):
            with pytest.raises(Conflict):
                invoices.void(each, nell, "Billed twice")


def test_nobody_elses_invoice_is_touched(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell, leo = newcomer(), patient("Leo Lopez").id
        theirs, mine = draft(leo, 100), charge(nell, 100)
        tries: list[Callable[[], object]] = [
            lambda: invoices.issue(theirs, nell), lambda: invoices.discard(theirs, nell), lambda: invoices.void(theirs, nell, "Why"),
            lambda: invoices.add_lines(theirs, nell, [mine]), lambda: invoices.get_of_patient(theirs, nell, drafts=True),
            lambda: invoices.issue(uuid4(), leo), lambda: invoices.draft(uuid4(), [mine]),
        ]  # fmt: skip
        for each in tries:
            with pytest.raises(NotFound):
                each()


def test_invoices_issued_at_once_are_numbered_without_a_gap(committed_app: Flask) -> None:
    with inside(committed_app, demo.ELM):
        patients = [newcomer() for _each in range(4)]
        drafts = [(draft(each, 100), each) for each in patients]
        broken = draft(patients[0], 100)
        before = numbers()

    def issue(number: int) -> None:
        with inside(committed_app, demo.ELM):
            invoices.issue(*drafts[number])

    def break_down() -> None:
        with inside(committed_app, demo.ELM):
            invoices.issue(broken, patients[0])
            raise Conflict("as if the machine went down")

    ended = at_once(*[lambda number=each: issue(number) for each in range(4)], break_down)
    assert sum(isinstance(each, Conflict) for each in ended) == 1
    with inside(committed_app, demo.ELM):
        assert numbers() == [*before, *range((before[-1] or 0) + 1, (before[-1] or 0) + 5)]


def test_one_draft_issued_twice_at_once_has_one_number(committed_app: Flask) -> None:
    with inside(committed_app, demo.ELM):
        nell = newcomer()
        made, before = draft(nell, 100), len(numbers())

    def issue() -> None:
        with inside(committed_app, demo.ELM):
            invoices.issue(made, nell)

    assert sum(isinstance(each, Conflict) for each in at_once(issue, issue)) == 1
    with inside(committed_app, demo.ELM):
        assert len(numbers()) == before + 1
