"""Lost if it fails: cash in the drawer that no invoice knows of, a discount larger than the bill, a correction that leaves the
books askew."""

from collections.abc import Callable
from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest
from flask import Flask

from clinic import account, billing, demo, invoices
from clinic.account import LineKind, Method
from clinic.billing import DeskPayment, Showing, Towards
from clinic.invoices import InvoiceStatus
from clinic.money import Money
from tenancy import clinics, clock
from tenancy.errors import Conflict, NotFound, Refused
from tests.attack.test_races import at_once
from tests.books import being_paid, cash, charge, draft, invoice, newcomer, usd
from tests.inside import inside, patient


def today() -> date:
    return clock.today(clinics.current().time_zone)


def pay(patient_id: UUID, minor: int, towards: Towards = Towards.OLDEST, invoice_id: UUID | None = None, **more: object) -> UUID:
    values = {"method": Method.CHEQUE, "amount": usd(minor), "dated_on": today(), "reference": "1071", **more}
    return billing.record_payment(patient_id, DeskPayment(**values, towards=towards, invoice_id=invoice_id))  # type: ignore[arg-type]


def due(invoice_id: UUID) -> Money:
    return invoices.due_of([invoice_id])[invoice_id]


def test_cash_pays_the_oldest_the_chosen_or_none(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        late, soon = invoice(nell, 5000, due_in=20), invoice(nell, 3000, due_in=10)
        pay(nell, 1000)
        assert (due(late), due(soon)) == (usd(5000), usd(2000))
        paid = pay(nell, 6000, Towards.INVOICE, late)
        assert (due(late), account.credit_of(paid)) == (usd(0), usd(1000))
        kept = pay(nell, 700, Towards.CREDIT)
        assert account.credit_of(kept) == usd(700)
        assert account.lines_of_patient(nell)[0].description == "Cheque: 1071"
        assert pay(nell, 1, reference="") and account.balance_of_patient(nell, "usd") == usd(8000 - 7701)


def test_cash_that_cannot_be_is_refused(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell, leo = newcomer(), patient("Leo Lopez").id
        paid, open_ = invoice(nell, 100), invoice(nell, 5000)
        pay(nell, 100, Towards.INVOICE, paid)
        refused: list[Callable[[], object]] = [
            lambda: pay(nell, 100, Towards.INVOICE, paid), lambda: pay(nell, 100, Towards.INVOICE), lambda: pay(nell, 100, method=Method.CARD),
            lambda: pay(nell, 0), lambda: pay(nell, 1, amount=Money(1, "eur")), lambda: pay(nell, 1, dated_on=today() + timedelta(days=1)),
            lambda: pay(nell, 1, reference="x" * 81), lambda: pay(nell, 1, Towards.INVOICE, draft(nell, 100)),
        ]  # fmt: skip
        for each in refused:
            with pytest.raises(Refused):
                each()
        for unknown in (invoice(leo, 100), uuid4()):
            with pytest.raises(NotFound):
                pay(nell, 100, Towards.INVOICE, unknown)
        being_paid(open_, nell, 5000)
        with pytest.raises(Conflict, match="online right now"):
            pay(nell, 100, Towards.INVOICE, open_)
        assert account.balance_of_patient(nell, "usd") == usd(5100)


def test_two_cash_payments_at_once_pay_an_invoice_once(committed_app: Flask) -> None:
    with inside(committed_app, demo.ELM):
        nell = newcomer()
        open_ = invoice(nell, 5000)

    def take() -> None:
        with inside(committed_app, demo.ELM):
            pay(nell, 5000)

    assert at_once(take, take) == [None, None]
    with inside(committed_app, demo.ELM):
        row = invoices.rows_of([open_])[open_]
        assert (row.paid, row.status) == (usd(5000), InvoiceStatus.PAID)
        assert list(account.credits_of_patient(nell).values()) == [usd(5000)]


def test_credit_is_applied_to_one_or_to_the_oldest(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        with pytest.raises(Refused):
            billing.apply_credit(nell)
        cash(nell, 1000), cash(nell, 4000)
        late, soon = invoice(nell, 2000, due_in=20), invoice(nell, 9000, due_in=10)
        assert billing.apply_credit(nell, late) == usd(2000)
        with pytest.raises(Refused):
            billing.apply_credit(nell, late)
        assert billing.apply_credit(nell) == usd(3000)
        assert (due(late), due(soon), account.credits_of_patient(nell)) == (usd(0), usd(6000), {})
        cash(nell, 100)
        being_paid(soon, nell, 6000)
        with pytest.raises(Conflict):
            billing.apply_credit(nell, soon)
        with pytest.raises(Refused):
            billing.apply_credit(nell)


@pytest.mark.parametrize(("kind", "reduce"), [(LineKind.DISCOUNT, billing.discount), (LineKind.WRITE_OFF, billing.write_off)])
def test_what_is_taken_off_joins_the_charges_invoice(app: Flask, kind: LineKind, reduce: Callable[..., UUID]) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        sent = invoice(nell, 5000, 1000)
        pay(nell, 4000)
        line = invoices.lines_on(sent)[0]
        with pytest.raises(Refused, match="more than is due"):
            reduce(line, nell, usd(2001), "Hardship")
        off = reduce(line, nell, usd(500), "Hardship")
        assert account.get(off, nell).kind == kind
        assert (invoices.invoice_of(off), due(sent)) == (sent, usd(1500))
        reduce(line, nell, usd(1500), "Hardship")
        assert invoices.rows_of([sent])[sent].status == InvoiceStatus.PAID
        with pytest.raises(Refused):
            reduce(line, nell, usd(1), "Hardship")


def test_a_discount_never_exceeds_what_it_is_taken_off(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell, leo = newcomer(), patient("Leo Lopez").id
        loose, made = charge(nell, 1000), draft(nell, 3000, 200)
        billing.discount(loose, nell, usd(600), "Sibling")
        with pytest.raises(Refused):
            billing.discount(loose, nell, usd(401), "Sibling")
        first, second = invoices.lines_on(made)
        small = min((first, second), key=lambda each: account.get(each, nell).amount_minor)
        with pytest.raises(Refused):
            billing.discount(small, nell, usd(201), "Sibling")
        off = billing.discount(small, nell, usd(200), "Sibling")
        assert invoices.invoice_of(off) == made
        for wrong in (off, cash(nell, 10)):
            with pytest.raises(Refused):
                billing.discount(wrong, nell, usd(1), "Sibling")
        with pytest.raises(NotFound):
            billing.discount(loose, leo, usd(1), "Sibling")
        sent = invoice(nell, 5000)
        being_paid(sent, nell, 5000)
        with pytest.raises(Conflict):
            billing.write_off(invoices.lines_on(sent)[0], nell, usd(1), "Bad debt")


def test_what_is_given_back_is_due_again(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        sent = invoice(nell, 5000)
        paid = pay(nell, 6000)
        billing.refund_cash(paid, nell, usd(800), "Paid too much", today())
        assert (due(sent), account.credit_of(paid)) == (usd(0), usd(200))
        refund = billing.refund_cash(paid, nell, usd(700), "The visit was short", today())
        assert (due(sent), account.credit_of(paid)) == (usd(500), usd(0))
        with pytest.raises(Refused, match="left of the payment"):
            billing.refund_cash(paid, nell, usd(4501), "All of it", today())
        with pytest.raises(Refused, match="Correct that first"):
            billing.correct(paid, nell, "Wrong family")
        billing.correct(refund, nell, "It was 70, not 700")
        assert account.credit_of(paid) == usd(700)


def test_what_was_paid_online_is_neither_given_back_nor_corrected_by_hand(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        online = account.enter(nell, LineKind.PAYMENT, usd(500), "Card", method=Method.CARD, source_id="ch_x")
        with pytest.raises(Refused):
            billing.refund_cash(online, nell, usd(1), "Back", today())
        with pytest.raises(Refused):
            billing.correct(online, nell, "Back")
        with pytest.raises(NotFound):
            billing.refund_cash(charge(nell, 5), nell, usd(1), "Back", today())


def test_a_corrected_payment_leaves_the_invoices_it_paid(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        one, other = invoice(nell, 5000), invoice(nell, 3000)
        paid = pay(nell, 8000)
        correction = billing.correct(paid, nell, "Another family's cheque")
        assert (due(one), due(other)) == (usd(5000), usd(3000))
        assert account.balance_of_patient(nell, "usd") == usd(8000)
        for again, kind in ((paid, Conflict), (correction, Refused)):
            with pytest.raises(kind):
                billing.correct(again, nell, "Once more")


def test_a_corrected_charge_takes_its_invoice_down_and_frees_what_was_paid(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        sent = invoice(nell, 5000, 2000)
        first = next(each for each in invoices.lines_on(sent) if account.get(each, nell).amount_minor == 5000)
        paid = pay(nell, 6500)
        off = billing.discount(first, nell, usd(500), "Sibling")
        correction = billing.correct(off, nell, "Not this family")
        assert (invoices.invoice_of(correction), due(sent)) == (sent, usd(500))
        billing.correct(first, nell, "The visit was cancelled")
        row = invoices.rows_of([sent])[sent]
        assert (row.total, row.paid, row.status) == (usd(2000), usd(2000), InvoiceStatus.PAID)
        assert account.credit_of(paid) == usd(4500)


def test_a_charge_is_not_corrected_under_its_discount(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        sent = invoice(nell, 5000)
        line = invoices.lines_on(sent)[0]
        billing.discount(line, nell, usd(500), "Sibling")
        with pytest.raises(Refused, match="discount"):
            billing.correct(line, nell, "The visit was cancelled")
        other = invoice(nell, 100)
        being_paid(other, nell, 100)
        with pytest.raises(Conflict):
            billing.correct(invoices.lines_on(other)[0], nell, "The visit was cancelled")


def test_a_line_leaves_its_draft_to_be_corrected(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        made, loose = draft(nell, 5000, 100), charge(nell, 10)
        line = invoices.lines_on(made)[0]
        for each in (line, loose):
            assert invoices.invoice_of(billing.correct(each, nell, "Entered twice")) is None
        assert invoices.invoice_of(line) is None and len(invoices.lines_on(made)) == 1


def test_accounts_are_found_the_longest_overdue_first(app: Flask) -> None:
    with inside(app, demo.ELM):
        anna, bert = newcomer(), newcomer()
        with clock.moved(-timedelta(days=200)):
            invoice(anna, 5000)
        with clock.moved(-timedelta(days=300)):
            invoice(bert, 300, 400)
        overdue = billing.accounts(showing=Showing.OVERDUE)
        assert [each.patient_id for each in overdue][:2] == [bert, anna]
        assert (overdue[0].overdue, overdue[0].balance) == (usd(700), usd(700))
        assert {each.patient_id for each in overdue} <= {each.patient_id for each in billing.accounts()}
        first, second = (billing.accounts(limit=1), billing.accounts(after=overdue[0].cursor, limit=1))
        assert (first[0].patient_id, second[0].patient_id) == (bert, anna)
        cash(anna, 9000)
        assert [each.patient_id for each in billing.accounts("nell new", Showing.CREDIT)] == [anna]
        assert [each.name for each in billing.accounts("zoe", Showing.ALL)] == ["Zoe Haddad"]
        assert billing.accounts("nobody") == []


def test_an_account_is_known_as_it_stood_on_a_day(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        billing.charge(nell, usd(5000), "A visit", date(2026, 3, 31))
        billing.charge(nell, usd(100), "A workbook", date(2026, 4, 1))
        assert account.balance_of_patient(nell, "usd", until=date(2026, 3, 30)) == usd(0)
        assert account.balance_of_patient(nell, "usd", until=date(2026, 3, 31)) == usd(5000)
        march = account.lines_of_patient(nell, since=date(2026, 3, 1), until=date(2026, 3, 31))
        assert [each.description for each in march] == ["A visit"]
        assert account.months_of_patient(nell) == [date(2026, 4, 1), date(2026, 3, 1)]


def test_the_demo_has_an_invoice_in_every_state(app: Flask) -> None:
    with inside(app, demo.ELM):
        leo = patient("Leo Lopez").id
        rows = invoices.of_patient(leo, drafts=True)
        assert {each.status for each in rows} == set(InvoiceStatus)
        assert any(each.is_overdue(today()) for each in rows)
        assert account.credits_of_patient(leo) and invoices.unbilled_of(leo)
