"""Lost if it fails: a payment pays an invoice twice, or more than there is, or another family's."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinic import account, demo, invoices
from clinic.invoices import InvoiceStatus
from clinic.money import Money
from tenancy import clock
from tenancy.database import db
from tenancy.errors import NotFound, Refused
from tests.access import recorded
from tests.attack.test_races import at_once
from tests.books import being_paid, cash, draft, invoice, newcomer, usd
from tests.inside import inside, patient


def status(invoice_id: UUID) -> InvoiceStatus:
    return invoices.rows_of([invoice_id])[invoice_id].status


def test_a_payment_pays_the_invoice_that_was_due_first(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        second, first = invoice(nell, 3000, due_in=30), invoice(nell, 5000, due_in=20)
        paid = cash(nell, 6000)
        assert invoices.allocate_oldest_first(paid) == [(first, usd(5000)), (second, usd(1000))]
        assert (status(first), status(second)) == (InvoiceStatus.PAID, InvoiceStatus.PARTLY_PAID)
        assert account.credit_of(paid) == usd(0)
        assert invoices.due_of([first, second]) == {first: usd(0), second: usd(2000)}
    assert recorded(app, "payment.allocated")[-1] == {"invoices": {str(first): 5000, str(second): 1000}}


def test_what_is_left_stays_credit(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        one, paid = invoice(nell, 5000), cash(nell, 8000)
        invoices.allocate_oldest_first(paid)
        assert account.credit_of(paid) == usd(3000)
        assert invoices.allocate_oldest_first(paid) == []
        assert invoices.allocate(paid, [(one, usd(100))], as_far_as_it_goes=True) == []


def test_chosen_invoices_are_paid_with_what_was_chosen(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        one, other, paid = invoice(nell, 5000), invoice(nell, 5000), cash(nell, 6000)
        invoices.allocate(paid, [(other, usd(4000)), (one, usd(1500))])
        assert invoices.due_of([one, other]) == {one: usd(3500), other: usd(1000)}
        for wrong in ([(one, usd(501))], [(other, usd(1001))], [(one, usd(0))], [(one, usd(-1))], [(one, Money(1, "eur"))], [(one, usd(300)), (one, usd(300))]):
            with pytest.raises(Refused):
                invoices.allocate(paid, wrong)
        assert account.credit_of(paid) == usd(500)


def test_more_than_is_due_is_cut_where_that_is_meant(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        one, other, paid = invoice(nell, 2000), invoice(nell, 5000), cash(nell, 6000)
        void = invoice(nell, 700)
        invoices.void(void, nell, "Billed twice")
        went = invoices.allocate(paid, [(one, usd(3000)), (void, usd(700)), (other, usd(3000))], as_far_as_it_goes=True)
        assert went == [(one, usd(2000)), (other, usd(3000))]
        assert account.credit_of(paid) == usd(1000)


def test_what_is_released_is_credit_again_the_newest_first(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        one, other, paid = invoice(nell, 2000), invoice(nell, 3000), cash(nell, 5000)
        invoices.allocate(paid, [(one, usd(2000))])
        with clock.moved(timedelta(minutes=1)):
            invoices.allocate(paid, [(other, usd(3000))])
        assert invoices.release(paid, usd(3500)) == [(other, usd(3000)), (one, usd(500))]
        assert invoices.due_of([one, other]) == {one: usd(500), other: usd(3000)}
        assert account.credit_of(paid) == usd(3500)
        with pytest.raises(Refused):
            invoices.release(paid, usd(1501))
        with pytest.raises(Refused):
            invoices.release(paid, usd(1), of_invoice=other)
        assert invoices.allocated_from(paid) == [(one, usd(1500))]


def test_nobody_elses_invoice_is_paid(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell, leo = newcomer(), patient("Leo Lopez").id
        theirs, paid = invoice(leo, 5000), cash(nell, 5000)
        for wrong in (theirs, uuid4()):
            with pytest.raises(NotFound):
                invoices.allocate(paid, [(wrong, usd(1))], as_far_as_it_goes=True)


def test_a_draft_is_not_paid(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        made, paid = draft(nell, 5000), cash(nell, 5000)
        assert invoices.due_of([made]) == {made: usd(0)}
        with pytest.raises(Refused):
            invoices.allocate(paid, [(made, usd(1))])


def test_what_is_being_paid_online_is_passed_over(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        first, second, paid = invoice(nell, 5000, due_in=1), invoice(nell, 3000, due_in=2), cash(nell, 9000)
        claim = being_paid(first, nell, 5000)
        assert invoices.allocate_oldest_first(paid) == [(second, usd(3000))]
        claim.released_at = clock.now()
        db.session.flush()
        assert invoices.allocate_oldest_first(paid) == [(first, usd(5000))]


def test_whatever_is_allocated_and_released_nothing_is_paid_twice(app: Flask) -> None:
    """Every invoice has between nothing and all of it paid, every payment between nothing and all of it spent."""
    step = st.tuples(st.sampled_from(["allocate", "oldest", "release"]), st.integers(0, 2), st.integers(0, 2), st.integers(1, 4000))

    @settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
    @given(st.lists(step, max_size=12))
    def holds(steps: list[tuple[str, int, int, int]]) -> None:
        with inside(app, demo.ELM):
            nell = newcomer()
            bills, paid = [invoice(nell, each) for each in (1000, 2500, 4000)], [cash(nell, each) for each in (800, 3000, 4000)]
            for what, of_payment, of_bill, minor in steps:
                try:
                    if what == "allocate":
                        invoices.allocate(paid[of_payment], [(bills[of_bill], usd(minor))])
                    elif what == "oldest":
                        invoices.allocate_oldest_first(paid[of_payment])
                    else:
                        invoices.release(paid[of_payment], usd(minor))
                except Refused:
                    continue
            rows = invoices.rows_of(bills).values()
            assert all(usd(0) <= each.paid <= each.total for each in rows)
            spent = [(account.left_of(each), account.credit_of(each)) for each in paid]
            assert all(usd(0) <= credit <= left for left, credit in spent)

    holds()


def test_the_same_credit_is_not_spent_twice_at_once(committed_app: Flask) -> None:
    with inside(committed_app, demo.ELM):
        nell = newcomer()
        one, other, paid = invoice(nell, 5000), invoice(nell, 5000), cash(nell, 5000)

    def spend(invoice_id: UUID) -> None:
        with inside(committed_app, demo.ELM):
            invoices.allocate(paid, [(invoice_id, usd(5000))])

    ended = at_once(lambda: spend(one), lambda: spend(other))
    assert sum(isinstance(each, Refused) for each in ended) == 1
    with inside(committed_app, demo.ELM):
        assert account.credit_of(paid) == usd(0)
