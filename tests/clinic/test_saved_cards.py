"""Cards: which are kept, whose they are, until when they work.

Lost if it fails: a card is kept that nobody offered, or taken back and charged all the same.
"""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from clinic.payments import SavedCard, StripeCustomer, autopay, cards, find_account
from clinic.payments.cards import CardRow
from clinic.stripe_gateway import line
from tenancy import clock
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tests.clinic.test_autopay import choose, endings
from tests.inside import patient, waiting_jobs
from tests.paying import Desk, use_account


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """Maria saved a card as she paid."""
    desk.paid(desk.invoice(1000), saves_card=True)
    return desk


def another_card(desk: Desk, label: str = "Mastercard 4444") -> UUID:
    """A second one of Maria's; its id."""
    with desk.staff():
        known = db.session.scalars(select(SavedCard)).first()
        assert known
        whose = {"portal_user_id": known.portal_user_id, "account_id": known.account_id, "customer_id": known.customer_id}
        made = SavedCard(**whose, payment_method_id=f"pm_{label}", label=label, saved_at=clock.now() + timedelta(hours=1))
        db.session.add(made)
        db.session.flush()
        return made.id


def labels(desk: Desk) -> list[str]:
    with desk.family():
        return [each.label for each in cards.mine()]


# Kept


def test_a_card_is_kept_for_whoever_asked_and_that_is_on_record(desk: Desk) -> None:
    assert labels(desk) == ["Visa 4242"] and desk.events("saved_card.") == ["saved_card.kept"]
    with desk.clinic_transaction():
        customer = db.session.scalars(select(StripeCustomer)).one()
        assert cards.find_customer(desk.maria, desk.account_id) == customer.customer_id
        assert cards.find_customer(desk.maria, "acct_of_before") is None


def test_a_card_that_was_only_paid_with_is_not_kept(desk: Desk) -> None:
    """Stripe knows Maria by now, so that every charge of hers names her and the card."""
    payment = desk.begin(desk.invoice(2000))
    desk.fake.pay(desk.open(payment), number="5555555555554444")
    desk.look(payment)
    assert desk.status(payment) == "succeeded" and labels(desk) == ["Visa 4242"]


def test_the_same_card_is_kept_once(desk: Desk) -> None:
    payment = desk.begin(desk.invoice(2000), saves_card=True)
    desk.fake.pay(desk.open(payment), "saved")
    desk.look(payment)
    assert labels(desk) == ["Visa 4242"] and desk.events("saved_card.") == ["saved_card.kept"]


def test_a_bank_account_is_not_kept_as_a_card(desk: Desk) -> None:
    """Lost: invoices are debited from a bank account without the mandate that such a debit needs."""
    payment = desk.paid(desk.invoice(2000), how="bank_debit", saves_card=True)
    desk.fake.settle(desk.intent(payment))
    desk.look(payment)
    assert desk.status(payment) == "succeeded" and labels(desk) == ["Visa 4242"]


def test_the_newest_card_comes_first(desk: Desk) -> None:
    another_card(desk)
    assert labels(desk) == ["Mastercard 4444", "Visa 4242"]


@pytest.mark.parametrize(
    ("expires_on", "has_expired"),
    [(None, False), (date(2030, 5, 19), True), (date(2030, 5, 20), False), (date(2030, 5, 21), False)],
)
def test_a_card_works_to_the_end_of_its_last_day(expires_on: date | None, has_expired: bool) -> None:
    card = CardRow(UUID(int=1), "acct_1", "pm_1", "Visa 4242", expires_on)
    with clock.moved(datetime(2030, 5, 20, 12, tzinfo=UTC) - clock.now()):
        assert card.has_expired is has_expired


# Taken back


def test_the_card_that_is_removed_is_the_one_that_was_meant(desk: Desk) -> None:
    other = another_card(desk)
    with desk.family():
        cards.remove(other)
    assert labels(desk) == ["Visa 4242"] and desk.events("saved_card.")[-1] == "saved_card.removed"
    assert [each["card_id"] for each in waiting_jobs(desk.app, cards.DETACH)] == [str(other)]
    with desk.family(), pytest.raises(NotFound):
        cards.get_mine(other)


def test_a_card_that_was_removed_in_stripes_dashboard_too_is_gone(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Lost: the job that makes Stripe forget cards fails for ever at one that was forgotten."""
    (method,) = desk.fake.objects("payment_method", desk.account_id)
    line.post(f"/v1/payment_methods/{method['id']}/detach", of=desk.account_id)
    with desk.family():
        mine = cards.mine()[0].id
        cards.remove(mine)
    cards.detach(str(mine))
    assert labels(desk) == [] and "did not detach a card: payment_method_not_attached" in caplog.text


def test_what_is_paid_with_another_card_goes_on(desk: Desk) -> None:
    other = another_card(desk)
    with desk.family():
        first = cards.get_mine(next(each.id for each in cards.mine() if each.id != other)).id
        autopay.choose(desk.patient_id, first, find_account())
        cards.remove(other)
    assert endings(desk) == [None]
    with desk.family():
        cards.remove(first)
    assert endings(desk) == ["card_removed"]


# Automatic payments by one card or another


def test_another_card_takes_the_place_of_the_first(desk: Desk) -> None:
    """Lost: an invoice is paid by two cards of one person, or by the one they meant to spare."""
    choose(desk)
    other = another_card(desk)
    with desk.family():
        assert autopay.mine()[desk.patient_id].label == "Visa 4242"
        autopay.choose(desk.patient_id, other, find_account())
        wish = autopay.mine()[desk.patient_id]
    assert (wish.card_id, wish.label, wish.ended_at) == (other, "Mastercard 4444", None)
    assert endings(desk) == ["stopped", None]
    assert desk.events("autopay.") == ["autopay.begun", "autopay.ended", "autopay.begun"]


def test_what_is_stopped_is_of_this_patient_alone(desk: Desk) -> None:
    """Lost: who stops paying for one child stops paying for all."""
    choose(desk)
    with desk.staff():
        leo = patient("Leo Lopez").id
    with desk.family():
        autopay.choose(leo, cards.mine()[0].id, find_account())
        autopay.stop_mine(leo)
        wishes = autopay.mine()
    assert (wishes[leo].ending, wishes[desk.patient_id].ending) == ("stopped", None)
    with desk.family(), pytest.raises(Conflict):
        autopay.stop_mine(leo)


def test_a_removed_card_pays_for_nothing_new(desk: Desk) -> None:
    with desk.family():
        mine = cards.mine()[0].id
        cards.remove(mine)
    with desk.family(), pytest.raises(NotFound):
        autopay.choose(desk.patient_id, mine, find_account())


def test_a_card_of_an_account_that_the_clinic_left_pays_for_nothing(desk: Desk) -> None:
    """And whose wish it was is told that it stopped."""
    choose(desk)
    with desk.staff():
        use_account(desk.fake.account())
    with desk.clinic_transaction():
        account_id = find_account()
        assert account_id
        autopay.stop_on_former_accounts(account_id)
        autopay.stop_on_former_accounts(account_id)
    assert endings(desk) == ["card_removed"] and desk.letters() == ["receipt_waits", "autopay_stopped"]
    with desk.family(), pytest.raises(Refused):
        autopay.choose(desk.patient_id, cards.mine()[0].id, account_id)


def test_a_dispute_stops_what_the_same_person_pays_for_that_patient_alone(desk: Desk) -> None:
    choose(desk)
    with desk.staff():
        leo = patient("Leo Lopez").id
    with desk.family():
        autopay.choose(leo, cards.mine()[0].id, find_account())
    payment = desk.paid(desk.invoice(2000))
    desk.fake.inquire(desk.intent(payment))
    desk.look(payment)
    assert endings(desk) == [None, None]  # a question of the bank's stops nothing
    desk.fake.dispute(desk.intent(payment))
    desk.look(payment)
    with desk.family():
        wishes = autopay.mine()
    assert (wishes[desk.patient_id].ending, wishes[leo].ending) == ("disputed", None)
