"""What pages ask about payments: whose, in which order, and no more than whoever asks may see.

Lost if it fails: a caregiver reads what another one paid, or staff answer a bank a day too late.
"""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from clinic import payments
from clinic.payments import Dispute, questions, refunds
from tenancy.database import db
from tenancy.errors import NotFound
from tests import inside
from tests.clinic.test_refund_asking import of_another_patient
from tests.clinic.test_refunds import ask, give_back, limit
from tests.paying import Desk, give_billing


def omar(desk: Desk) -> UUID:
    with desk.staff():
        found = inside.user("omar@family.example").id
        give_billing(found, desk.patient_id)
        return found


def test_a_family_reads_its_own_payments_and_staff_read_all(desk: Desk) -> None:
    """The newest first."""
    his = omar(desk)
    mine = desk.paid(desk.invoice(5000))
    waits = desk.begin(desk.invoice(700), payer=his)
    of_another_patient(desk)
    for who, expected in ((desk.maria, [mine]), (his, [waits])):
        with desk.family(who):
            assert [each.id for each in payments.of_patient(desk.patient_id)] == expected
            others = {mine, waits} - set(expected)
            for each in others:
                with pytest.raises(NotFound):
                    payments.of_id(each, desk.patient_id)
    with desk.staff():
        found = payments.of_patient(desk.patient_id)
        assert [(each.id, each.is_finished) for each in found] == [(waits, False), (mine, True)]
        assert [each.id for each in payments.unfinished_of_patient(desk.patient_id)] == [waits]
        assert payments.of_id(mine, desk.patient_id).amount.minor == 5000
        with pytest.raises(NotFound):
            payments.of_id(mine, uuid4())
    with desk.family():
        assert payments.unfinished_of_patient(desk.patient_id) == []
    with desk.family(his):
        assert [each.id for each in payments.unfinished_of_patient(desk.patient_id)] == [waits]


def test_whom_a_payment_is_for_is_told_to_who_pays_alone(desk: Desk) -> None:
    """The way back from Stripe names the payment only. Lost: an id that leaks tells a stranger whose bill it was."""
    his = omar(desk)
    payment = desk.begin(desk.invoice(5000))
    with desk.family():
        assert payments.patient_of_mine(payment) == desk.patient_id
        with pytest.raises(NotFound):
            payments.patient_of_mine(uuid4())
    with desk.family(his), pytest.raises(NotFound):
        payments.patient_of_mine(payment)


def test_a_payer_reads_what_was_sent_back_and_not_what_the_clinic_thinks_about(desk: Desk) -> None:
    payment, other = desk.paid(desk.invoice(5000)), desk.paid(desk.invoice(5000))
    give_back(desk, payment, 1000)
    give_back(desk, other, 50)
    limit(desk, 0)
    waits, withdrawn = ask(desk, payment, 2000), ask(desk, payment, 300)
    with desk.staff():
        refunds.withdraw(withdrawn, payment)
        told = payments.refunds_of([payment])
        assert [(each.payment_id, each.amount.minor, each.status) for each in told] == [
            (payment, 1000, "succeeded"), (payment, 2000, "unconfirmed"), (payment, 300, "withdrawn"),
        ]  # fmt: skip
        assert told[1].id == waits and told[1].asked_by_id == inside.member("ben@elm.example").id
    with desk.family():
        assert [(each.amount.minor, each.status) for each in payments.given_back(payment)] == [(1000, "succeeded")]


def test_the_dispute_to_be_answered_first_comes_first_with_whose_it_is(desk: Desk) -> None:
    other = of_another_patient(desk)
    late, soon, decided = desk.paid(desk.invoice(5000)), other, desk.paid(desk.invoice(900))
    for each in (late, decided):
        desk.fake.dispute(desk.intent(each))
        desk.look(each)
    desk.fake.inquire(desk.intent(soon))
    desk.look(soon)
    desk.fake.close_dispute(next(each["id"] for each in desk.fake.objects("dispute", desk.account_id) if each["amount"] == 900), "won")
    desk.look(decided)
    with desk.staff():
        for payment, day in ((late, 9), (soon, 8)):
            dispute = db.session.scalars(select(Dispute).where(Dispute.payment_id == payment)).one()
            dispute.evidence_due_at = datetime(2030, 5, day, tzinfo=UTC)
    with desk.staff():
        found = payments.disputes_to_answer()
        assert [(each.payment_id, each.amount.minor, each.status) for each in found] == [(soon, 700, "inquiry"), (late, 5000, "open")]
        assert [each.patient_id == desk.patient_id for each in found] == [False, True]
        assert {each.patient_name for each in found} == {"Nell Newcomer"}
        assert [(each.payment_id, each.status) for each in payments.disputes_of([decided])] == [(decided, "won")]


def test_what_is_shown_of_a_payment_is_its_own(desk: Desk) -> None:
    elder = desk.paid(desk.invoice(5000))
    newer = desk.begin(desk.invoice(700))
    desk.open(newer)
    with desk.staff():
        shown = questions.of_patient(desk.patient_id)
    assert [each.id for each in shown] == [newer, elder]
    assert shown[0].checkout_url == desk.payment(newer).checkout_url and shown[1].checkout_url is None
    assert (shown[1].card, shown[1].method, shown[1].line_id) == ("Visa 4242", "card", desk.payment(elder).line_id)
    assert replace(shown[0], status="processing").is_finished is False
