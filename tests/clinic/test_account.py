"""Lost if it fails: a family's balance is not what they were charged and what they paid, and nobody can say why."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from clinic import account, demo
from clinic.account import LineKind, Method
from clinic.money import Money
from tenancy import clinics, clock
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tests.access import recorded
from tests.books import cash, charge, newcomer, usd
from tests.inside import inside, patient

KINDS_THAT_TAKE_BACK = [LineKind.REFUND, LineKind.CHARGEBACK]


def back(patient_id: UUID, kind: LineKind, minor: int, line_id: UUID, source_id: str | None = None) -> UUID:
    return account.enter(patient_id, kind, usd(minor), "Back", takes_back_id=line_id, source_id=source_id)


@pytest.mark.parametrize(("kind", "sign"), [("charge", 1), ("payment", -1), ("discount", -1), ("write_off", -1)])
def test_a_kind_says_which_way_a_line_goes(app: Flask, kind: str, sign: int) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        method = Method.CHEQUE if kind == "payment" else None
        account.enter(nell, LineKind(kind), usd(1250), "  A   visit ", method=method)
        assert account.balance_of_patient(nell, "usd") == usd(sign * 1250)
        assert account.lines_of_patient(nell)[0].description == "A visit"
    assert recorded(app, f"{kind}.entered")[-1] == {"amount_minor": sign * 1250, "currency": "usd"}


@pytest.mark.parametrize("kind", KINDS_THAT_TAKE_BACK)
def test_what_is_taken_back_leaves_less_credit_and_gives_it_again_when_corrected(app: Flask, kind: LineKind) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        paid = cash(nell, 5000)
        assert account.credit_of(paid) == account.left_of(paid) == usd(5000)
        first, _second = back(nell, kind, 1000, paid), back(nell, kind, 500, paid)
        assert account.credit_of(paid) == usd(3500)
        account.reverse(first, nell, "The bank sent it back")
        assert account.credit_of(paid) == usd(4500)
        assert account.credits_of_patient(nell)[paid] == usd(4500)


def test_a_correction_undoes_a_line_once(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        paid = cash(nell, 5000)
        correction = account.reverse(paid, nell, "Another family's cash")
        assert account.balance_of_patient(nell, "usd") == usd(0)
        assert account.credit_of(paid) == usd(0)
        assert paid not in account.credits_of_patient(nell)
        with pytest.raises(Conflict):
            account.reverse(paid, nell, "Once more")
        with pytest.raises(Refused):
            account.reverse(correction, nell, "No, it was theirs")
        with pytest.raises(NotFound):
            account.credit_of(correction)
        assert account.find_correction(paid) == correction
    assert recorded(app, "payment.corrected")[-1]["corrects"] == str(paid)


@pytest.mark.parametrize(
    ("amount", "description", "days"),
    [(usd(0), "A visit", 0), (usd(-5), "A visit", 0), (Money(5, "eur"), "A visit", 0), (usd(5), " \n", 0), (usd(5), "x" * 161, 0), (usd(5), "A visit", 1)],
)
def test_a_line_that_cannot_be_is_refused(app: Flask, amount: Money, description: str, days: int) -> None:
    with inside(app, demo.ELM):
        day = clock.today(clinics.current().time_zone) + timedelta(days=days)
        with pytest.raises(Refused):
            account.enter(newcomer(), LineKind.CHARGE, amount, description, dated_on=day)


def test_what_stripe_did_is_entered_once(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        paid = account.enter(nell, LineKind.PAYMENT, usd(5000), "Card", method=Method.CARD, source_id="ch_1")
        assert account.find_by_source(LineKind.PAYMENT, "ch_1") == paid
        with pytest.raises(Conflict):
            account.enter(nell, LineKind.PAYMENT, usd(5000), "Card", method=Method.CARD, source_id="ch_1")
        refund = back(nell, LineKind.REFUND, 5000, paid, "re_1")
        account.reverse(refund, nell, "The bank sent it back")
        assert account.find_by_source(LineKind.REFUND, "re_1") == refund
        assert account.find_by_source(LineKind.CHARGEBACK, "re_1") is None


def test_nobody_elses_account_is_reached(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell, leo = newcomer(), patient("Leo Lopez").id
        line = charge(nell, 100)
        for wrong in (lambda: account.get(line, leo), lambda: account.reverse(line, leo, "Mine"), lambda: account.lock(uuid4()),
                      lambda: account.get_payment(line), lambda: account.credit_of(line), lambda: account.left_of(uuid4())):  # fmt: skip
            with pytest.raises(NotFound):
                wrong()
    with inside(app, demo.OAK), pytest.raises(NotFound):
        account.lock(nell)


def test_a_line_cannot_be_changed_even_by_a_program(app: Flask) -> None:
    with inside(app, demo.ELM), pytest.raises(ProgrammingError), db.session.begin_nested():
        db.session.execute(text("UPDATE account_lines SET amount_minor = 1"))
