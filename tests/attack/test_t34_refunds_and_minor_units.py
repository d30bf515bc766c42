"""T34: money that goes back, and what an amount is.

Lost if it fails: more is given back than was paid, a question of the bank's is booked as a loss, or a family in Tokyo pays a
hundred times too much.

Amounts are whole minor units with their currency, never compared or added across currencies, and no float or Decimal stands in
the code of money (a gate). Refunds together are never more than the charge, in our books and at Stripe: asked at once, asked
while the dashboard gives back too, of another clinic's payment, while the bank disputes. One that fails late puts the money back.
A call that timed out and was made is one refund. An inquiry is no loss; what is won comes back. A clinic whose account was
taken away takes no payments from that moment on.
"""

import ast
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from clinic import account, demo, money
from clinic.account import LineKind
from clinic.money import MOST_MINOR, THREE_DECIMAL, ZERO_DECIMAL, Money
from clinic.payments import DisputeStatus, facts, looking, questions, refunds
from clinic.stripe_gateway import StripeUnknown, reading
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tests import inside
from tests.attack.money_history import money_state
from tests.attack.test_races import at_once
from tests.clinic.test_refunds import ask, give_back, statuses
from tests.conftest import BASE, PORT
from tests.paying import ANA, MARIA, Desk, at_elm
from tests.portal.test_webhooks import deliver, job
from tests.stripe_fake.client import NotPossible, StripeFake
from tests.visitor import Visitor

ROOT = Path(__file__).resolve().parents[2]
DUE, PART = 5000, 3000


@pytest.fixture
def desk(app: Flask, stripe_fake: StripeFake) -> Iterator[Desk]:
    with at_elm(app, stripe_fake) as standing, standing.open_clinic():
        yield standing


@pytest.fixture
def outside(app: Flask, stripe_fake: StripeFake) -> Iterator[Desk]:
    """With no clinic open around the test: for those that come in by a page."""
    with at_elm(app, stripe_fake) as standing:
        yield standing


@pytest.fixture
def racing(committed_app: Flask, stripe_fake: StripeFake) -> Iterator[Desk]:
    with at_elm(committed_app, stripe_fake) as standing:
        yield standing


# What an amount is

CURRENCIES = st.sampled_from(["usd", "eur", *sorted(ZERO_DECIMAL), *sorted(THREE_DECIMAL)])
AMOUNTS = st.builds(Money, st.integers(-(10**15), 10**15), CURRENCIES)
OPERATIONS: list[Callable[[Money, Money], object]] = [
    lambda one, other: one + other, lambda one, other: one - other, lambda one, other: one < other, lambda one, other: one <= other,
    lambda one, other: one > other, lambda one, other: one >= other, lambda one, other: min(one, other), lambda one, other: max(one, other),
    lambda one, other: money.total([one, other], one.currency),
]  # fmt: skip


@settings(deadline=None)
@given(AMOUNTS, AMOUNTS, st.sampled_from(OPERATIONS))
def test_two_currencies_never_meet(one: Money, other: Money, operation: Callable[[Money, Money], object]) -> None:
    """Five dollars are not less than six yen."""
    if one.currency == other.currency:
        operation(one, other)
    else:
        with pytest.raises(ValueError, match="and"):
            operation(one, other)


@settings(deadline=None)
@given(st.lists(st.integers(-(10**12), 10**12), max_size=20), CURRENCIES)
def test_sums_are_exact_in_any_order(minors: list[int], currency: str) -> None:
    amounts = [Money(each, currency) for each in minors]
    there, back = money.total(amounts, currency), money.total(amounts[::-1], currency)
    assert there == back == Money(sum(minors), currency) and there - back == Money(0, currency)
    assert sorted(amounts) == [Money(each, currency) for each in sorted(minors)]


@pytest.mark.parametrize("minor", [1.0, 0.1, float("nan"), "1", None, True])
def test_an_amount_of_anything_but_whole_units_cannot_be_made(minor: Any) -> None:
    with pytest.raises(TypeError):
        Money(minor, "usd")


@settings(deadline=None)
@given(st.integers(0, MOST_MINOR), CURRENCIES)
def test_stripe_and_we_mean_the_same_amount(minor: int, currency: str) -> None:
    amount = Money(minor, currency)
    assert reading.money(reading.to_minor(amount), currency) == amount


# The gate

MONEY_CODE = (
    "clinic/money.py", "clinic/billing_settings.py", "clinic/reconciliation.py", "clinic/account", "clinic/billing", "clinic/invoices",
    "clinic/payments", "clinic/payment_processing", "clinic/stripe_events", "clinic/stripe_gateway", "portal_app/billing.py",
    "portal_app/payments.py", "admin_app/account.py", "admin_app/invoices.py", "admin_app/billing_settings.py",
)  # fmt: skip
# Seconds that a connection may take, and the one way from minor units to what a person reads.
ALLOWED = {
    "clinic/money.py": {"Decimal"},
    "clinic/stripe_gateway/line.py": {"float", "a fraction", "a division"},
    "clinic/stripe_gateway/breaker.py": {"float", "a fraction"},
}  # fmt: skip


def inexact(source: str) -> set[str]:
    """What of it may lose a cent."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id in ("float", "Decimal", "round", "Fraction"):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and node.attr in ("Decimal", "Fraction", "fsum", "quantize"):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, float):
            found.add("a fraction")
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and not _is_path(node):
            found.add("a division")
    return found


def _is_path(node: ast.BinOp) -> bool:
    """`folder / "name"`: nothing is divided by a text."""
    return isinstance(node.right, ast.JoinedStr) or isinstance(node.right, ast.Constant) and isinstance(node.right.value, str)


def money_modules() -> list[Path]:
    """Also those that come later, by their nouns."""
    nouns = ("payment", "invoice", "account", "billing", "refund", "dispute", "receipt", "statement", "autopay", "cards", "stripe", "money")
    named = [path for floor in ("clinic", "portal_app", "admin_app") for path in (ROOT / floor).rglob("*.py")]
    chosen = {path for path in named if any(noun in str(path.relative_to(ROOT)) for noun in nouns)}
    for each in MONEY_CODE:
        found = sorted((ROOT / each).rglob("*.py")) if (ROOT / each).is_dir() else [ROOT / each]
        assert found and all(path.exists() for path in found), each
        chosen |= set(found)
    return sorted(chosen)


def test_no_float_stands_in_the_code_of_money() -> None:
    found = {str(path.relative_to(ROOT)): inexact(path.read_text()) for path in money_modules()}
    assert {name: what for name, what in found.items() if what - ALLOWED.get(name, set())} == {}


def test_amounts_are_whole_numbers_in_the_database(app: Flask, desk: Desk) -> None:
    with desk.clinic_transaction():
        columns = text(
            "SELECT table_name || '.' || column_name || ' ' || data_type FROM information_schema.columns WHERE table_schema = 'public' "
            "AND (column_name LIKE '%amount%' OR column_name LIKE '%minor' OR data_type IN ('real', 'double precision', 'numeric', 'money'))"
        )
        found = list(db.session.scalars(columns))
    assert len(found) > 5 and [each for each in found if not each.endswith(("_minor bigint", "_minor integer"))] == []


# Currencies of nought, two and three decimals


Administrator = psycopg.Connection[Any]


def paid_in(desk: Desk, administrator: Administrator, currency: str, minor: int) -> dict[str, Any]:
    """A charge in a clinic of that currency, paid online as an amount on the account, given back; Stripe's page for it."""
    administrator.execute("UPDATE clinics SET currency = %s WHERE id = %s", (currency, desk.clinic.id))
    with inside.inside(desk.app, demo.ELM) as clinic:
        account.enter(desk.patient_id, LineKind.CHARGE, Money(minor, currency), "A visit")
    desk.clinic = clinic
    payment = uuid4()
    visitor = Visitor(desk.app, f"http://{demo.ELM}.{BASE}:{PORT}").sign_in(MARIA)
    path = f"/patients/{desk.patient_id}/payments/new"
    visitor.read(path)
    with inside.inside(desk.app, demo.ELM):
        typed = Money(minor, currency).typed()
    answer = visitor.post(path, {"payment_id": str(payment), "amount": typed})
    assert answer.status_code == 303, answer.text
    session: dict[str, Any] = desk.fake.pay(answer.headers["Location"].rpartition("/")[2])
    desk.look(payment)
    assert desk.status(payment) == "succeeded"
    assert [line for line in desk.lines() if line[0] == "payment"] == [("payment", -minor)]
    with desk.staff():
        refund = refunds.ask(uuid4(), payment, Money(minor, currency), "Agreed").id
    with desk.open_clinic():
        assert refunds.send(refund, payment) == "succeeded"
    assert desk.fake.balance(desk.account_id) == {currency: 0}
    return session


def check_currency(desk: Desk, administrator: Administrator, currency: str, minor: int) -> None:
    session = paid_in(desk, administrator, currency, minor)
    assert (session["amount_total"], session["currency"]) == (minor, currency)


@pytest.mark.parametrize(("currency", "minor"), [("usd", 5050), ("jpy", 5050), ("kwd", 5050)])
def test_each_currency_reaches_stripe_in_its_own_units(racing: Desk, administrator: Administrator, currency: str, minor: int) -> None:
    """Nothing is multiplied by a hundred, and three decimals end in 0."""
    check_currency(racing, administrator, currency, minor)


def test_a_dinar_that_stripe_cannot_take_is_refused_before_it_is_asked(racing: Desk, administrator: Administrator) -> None:
    with pytest.raises(AssertionError, match="last digit is 0"):
        paid_in(racing, administrator, "kwd", 5055)
    assert racing.fake.requests("/v1/checkout") == []


# Never more than was paid


def gone_back(desk: Desk) -> dict[str, int]:
    """What went back, by our books and by Stripe's."""
    ours = sum(minor for kind, minor in desk.lines() if kind == "refund")
    return {"ours": ours, "stripe's": desk.fake.figures(desk.account_id)["usd"]["refunded"]}


def check_two_at_once(racing: Desk) -> None:
    """30 and 30 of 50."""
    payment = racing.paid(racing.invoice(DUE))
    asked = at_once(*[lambda: ask(racing, payment, PART)] * 2)
    assert sum(isinstance(each, Refused) for each in asked) == 1
    with racing.open_clinic():
        for each in asked:
            if isinstance(each, UUID):
                refunds.send(each, payment)
    assert gone_back(racing) == {"ours": PART, "stripe's": PART}


def test_two_refunds_at_once_are_never_more_than_the_payment(racing: Desk) -> None:
    check_two_at_once(racing)


def test_one_refund_that_two_send_at_once_is_one(racing: Desk) -> None:
    payment = racing.paid(racing.invoice(DUE))
    refund = ask(racing, payment, PART)

    def send() -> None:
        with racing.open_clinic(), suppress(StripeUnknown, Conflict):
            refunds.send(refund, payment)

    at_once(*[send] * 4)
    racing.look_again(minutes=10)
    racing.look(payment)
    assert gone_back(racing) == {"ours": PART, "stripe's": PART} and racing.letters().count("refund_made") == 1


@pytest.mark.parametrize("seed", range(3))
def test_refunds_of_ours_and_of_the_dashboards_stay_within_the_payment(desk: Desk, seed: int) -> None:
    """Whatever is asked in whatever order, some of it failing later: both sides agree, and stay within what was paid."""
    chance = random.Random(seed)
    invoice = desk.invoice(DUE)
    payment = desk.paid(invoice)
    for _ in range(6):
        minor, how = chance.randint(1, DUE), chance.choice(["ask", "ask", "dashboard", "late"])
        with suppress(Refused, NotPossible):
            if how == "ask":
                give_back(desk, payment, minor)
            elif how == "dashboard":
                desk.fake.refund(desk.account_id, desk.intent(payment), minor)
            elif standing := [each for each in desk.fake.objects("refund", desk.account_id) if each["status"] == "succeeded"]:
                desk.fake.fail_refund(chance.choice(standing)["id"])
        desk.look(payment)
        found = gone_back(desk)
        assert found["ours"] == found["stripe's"] <= DUE and desk.due(invoice) == found["ours"] == desk.balance()


def test_nobody_refunds_another_clinics_payment(outside: Desk) -> None:
    """Nor confirms, withdraws or sends a refund of it; and Stripe is not asked."""
    payment = outside.paid(outside.invoice(DUE))
    refund = ask(outside, payment, PART)
    before = money_state(outside)
    asked = len(outside.fake.requests("/v1/refunds"))
    tries: list[Callable[[], object]] = [
        lambda: refunds.ask(uuid4(), payment, Money(100, "usd"), "Mine now"), lambda: refunds.ask(refund, payment, Money(100, "usd"), "Mine now"),
        lambda: refunds.confirm(refund, payment), lambda: refunds.withdraw(refund, payment), lambda: refunds.get(refund, payment),
    ]  # fmt: skip
    for attempt in tries:
        with pytest.raises(NotFound), inside.inside(outside.app, demo.OAK):
            attempt()
    with inside.inside(outside.app, demo.OAK) as oak:
        elsewhere = replace(outside, clinic=oak)
    with elsewhere.open_clinic(), pytest.raises(NotFound):
        refunds.send(refund, payment)
    assert money_state(outside) == before and len(outside.fake.requests("/v1/refunds")) == asked


def test_a_refund_of_one_payment_is_none_of_another(desk: Desk) -> None:
    one, other = desk.paid(desk.invoice(DUE)), desk.paid(desk.invoice(DUE))
    refund = ask(desk, one, PART)
    for attempt in (refunds.get, refunds.confirm, refunds.withdraw):
        with pytest.raises(NotFound), desk.staff():
            attempt(refund, other)
    with pytest.raises(NotFound):
        refunds.send(refund, other)


def test_a_call_that_timed_out_and_was_made_is_one_refund(desk: Desk) -> None:
    """Known to go wrong elsewhere: counted as failed, asked anew under another key, given back twice."""
    payment = desk.paid(desk.invoice(DUE))
    refund = ask(desk, payment, PART)
    desk.fake.fault("POST /v1/refunds", "lost", times=None)
    with pytest.raises(StripeUnknown):
        refunds.send(refund, payment)
    assert statuses(desk) == ["asked"] and desk.lines() == [("payment", -DUE)]
    with pytest.raises(Refused):  # unknown is not failed: it is counted
        ask(desk, payment, PART)
    desk.fake.clear_faults()
    for minutes in (10, 20, 30):
        desk.look_again(minutes=minutes)
    assert statuses(desk) == ["succeeded"] and gone_back(desk) == {"ours": PART, "stripe's": PART}
    assert len(desk.fake.objects("refund", desk.account_id)) == 1 and desk.letters().count("refund_made") == 1


def test_a_refund_that_fails_late_puts_the_money_back(desk: Desk) -> None:
    """Weeks after it succeeded: the invoice is paid again, and the clinic learns that the family still waits."""
    invoice = desk.invoice(DUE)
    payment = desk.paid(invoice)
    give_back(desk, payment, PART)
    assert desk.due(invoice) == PART
    (refund,) = desk.fake.objects("refund", desk.account_id)
    desk.fake.fail_refund(refund["id"])
    desk.look(payment)
    assert (desk.due(invoice), desk.balance(), gone_back(desk)["ours"]) == (0, 0, 0) and desk.problems() == ["refund_failed"]
    assert give_back(desk, payment, DUE) == "succeeded"  # all of it can be given back again


# Disputes


def test_a_dispute_while_a_refund_waits(desk: Desk) -> None:
    """One that waits for its second person, one that is on its way to Stripe: neither gives the money back a second time."""
    invoice = desk.invoice(DUE)
    payment = desk.paid(invoice)
    sent = ask(desk, payment, PART)
    with desk.staff():
        db.session.execute(text("UPDATE billing_settings SET refund_limit_minor = 100 WHERE clinic_id = app.clinic_id()"))
    waits = ask(desk, payment, 1000)
    assert statuses(desk) == ["asked", "unconfirmed"]
    dispute = desk.fake.dispute(desk.intent(payment))
    assert refunds.send(sent, payment) == "failed"
    with pytest.raises(Refused, match="disputes"), desk.staff(ANA):
        refunds.confirm(waits, payment)
    with pytest.raises(Refused, match="disputes"):
        ask(desk, payment, 1)
    desk.fake.close_dispute(dispute["id"], "lost")
    desk.look(payment)
    assert desk.lines() == [("payment", -DUE), ("chargeback", DUE)] and desk.due(invoice) == DUE
    with pytest.raises(Refused):
        ask(desk, payment, 1)
    assert desk.fake.objects("refund", desk.account_id) == []


def check_an_inquiry_is_no_loss(desk: Desk, looks_between: bool) -> None:
    """Asked about, disputed, won: the balance moves at no time."""
    invoice = desk.invoice(DUE)
    payment = desk.paid(invoice)
    intent = desk.intent(payment)
    happens: list[Callable[[], Any]] = [
        lambda: desk.fake.inquire(intent), lambda: desk.fake.dispute(intent),
        lambda: desk.fake.close_dispute(desk.fake.objects("dispute", desk.account_id)[0]["id"], "won"),
    ]  # fmt: skip
    for each in happens:
        each()
        if looks_between:
            desk.look(payment)
            assert (desk.due(invoice), desk.balance(), desk.lines()) == (0, 0, [("payment", -DUE)])
    desk.look(payment)
    assert (desk.due(invoice), desk.balance(), desk.lines()) == (0, 0, [("payment", -DUE)])
    asked = desk.paid(other := desk.invoice(DUE))
    inquiry = desk.fake.inquire(desk.intent(asked))
    desk.fake.close_dispute(inquiry["id"], "warning_closed")
    desk.look(asked)
    assert (desk.due(other), desk.balance()) == (0, 0)


@pytest.mark.parametrize("looks_between", [True, False])
def test_an_inquiry_is_no_loss_and_what_is_won_comes_back(desk: Desk, looks_between: bool) -> None:
    check_an_inquiry_is_no_loss(desk, looks_between)


@pytest.mark.parametrize("looks_between", [True, False])
def test_what_was_lost_and_is_won_after_all_comes_back(desk: Desk, looks_between: bool) -> None:
    """The payer withdrew when it was decided. The account tells of both, also where nobody looked meanwhile."""
    invoice = desk.invoice(DUE)
    payment = desk.paid(invoice)
    dispute = desk.fake.dispute(desk.intent(payment))
    desk.fake.close_dispute(dispute["id"], "lost")
    if looks_between:
        desk.look(payment)
        assert desk.due(invoice) == DUE == desk.balance()
    desk.fake.close_dispute(dispute["id"], "won")
    desk.look(payment)
    assert desk.due(invoice) == 0 == desk.balance()
    assert desk.lines() == [("payment", -DUE), ("chargeback", DUE), ("chargeback", -DUE)]


def test_a_lost_dispute_after_a_part_was_given_back_takes_the_rest(desk: Desk) -> None:
    invoice = desk.invoice(DUE)
    payment = desk.paid(invoice)
    give_back(desk, payment, PART)
    dispute = desk.fake.dispute(desk.intent(payment), DUE - PART)
    desk.fake.close_dispute(dispute["id"], "lost")
    desk.look(payment)
    assert (desk.due(invoice), desk.balance(), desk.credit(payment)) == (DUE, DUE, 0)
    assert desk.fake.balance(desk.account_id) == {"usd": 0}


# An account that was taken away


@pytest.mark.parametrize("how", ["deauthorise", "restrict"])
def test_the_button_is_off_on_the_next_request(outside: Desk, how: str) -> None:
    """As soon as the event is in: no button, and the form that is still open in a tab begins nothing."""
    invoice = outside.invoice(DUE)
    visitor = Visitor(outside.app, f"http://{demo.ELM}.{BASE}:{PORT}").sign_in(MARIA)
    path = f"/patients/{outside.patient_id}/payments/new"
    assert "Go on to the payment page" in visitor.read(path)
    getattr(outside.fake, how)(outside.account_id)
    type_ = "account.application.deauthorized" if how == "deauthorise" else "account.updated"
    event = outside.fake.events(outside.account_id, type_)[-1]
    assert deliver(outside.app, outside.fake, event["id"]) == 200
    job(outside.app)
    asked = len(outside.fake.requests("/v1/checkout"))
    for answer in (visitor.post(path, {"payment_id": str(uuid4()), "invoices": [str(invoice)]}), visitor.get(path)):
        # Who left Stripe shows no billing any more; who was restricted says that it takes no payments.
        assert answer.status_code in ((404,) if how == "deauthorise" else (200, 422))
        assert "Go on to the payment page" not in answer.text
    assert len(outside.fake.requests("/v1/checkout")) == asked


# Weaknesses


def test_planted_what_is_left_is_read_before_the_account_is_held(racing: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    left = questions.refundable

    def read_and_wait(payment: questions.PaymentRow) -> Money:
        found = left(payment)
        time.sleep(0.3)
        return found

    monkeypatch.setattr(refunds, "_held", looking.get)
    monkeypatch.setattr(questions, "refundable", read_and_wait)
    with pytest.raises(AssertionError):
        check_two_at_once(racing)


def test_planted_an_inquiry_that_is_booked_as_a_loss(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(facts.DISPUTES, "warning_closed", DisputeStatus.LOST)
    with pytest.raises(AssertionError):
        check_an_inquiry_is_no_loss(desk, looks_between=False)


def test_planted_yen_that_are_counted_in_hundredths(
    racing: Desk, administrator: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "IN_HUNDREDTHS", frozenset(["jpy"]))
    with pytest.raises(AssertionError):
        check_currency(racing, administrator, "jpy", 5050)


@pytest.mark.parametrize(
    "source", ["x = 0.1", "x = float(y)", "x = a / b", "x = round(y)", "from decimal import Decimal\nx = Decimal(y)", "x = decimal.Decimal(y)"]
)
def test_planted_a_float_in_the_code_of_money(source: str) -> None:
    assert inexact(source)
