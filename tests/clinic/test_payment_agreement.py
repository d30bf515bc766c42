"""What must be written so that our rows agree with Stripe, told as a table and by chance, without a database.

Lost if it fails: books that depend on which of Stripe's messages came first, came twice, or never came.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinic.money import Money
from clinic.payments import agreement
from clinic.payments.agreement import (
    GiveBack,
    Know,
    Move,
    NoteDispute,
    NoteRefund,
    PutBack,
    Receive,
    Report,
    Step,
    TakeBack,
    WinBack,
)
from clinic.payments.facts import Entry, Facts, OurDispute, OurRefund, Ours
from clinic.payments.problems import ProblemKind
from clinic.payments.rows import DisputeStatus, PaymentStatus, PaymentWay, RefundStatus
from clinic.stripe_gateway import ChargeFacts, CheckoutFacts, DisputeFacts, IntentFacts, RefundFacts

BEGAN = datetime(2030, 5, 20, 12, tzinfo=UTC)
FIFTY = Money(5000, "usd")
PAYMENT, ASKED = UUID(int=1), UUID(int=2)
CHARGE = ChargeFacts("ch_1", FIFTY, Money(0, "usd"), "succeeded", "card", "Visa 4242", None, "pm_1", None)
OURS = Ours(PAYMENT, PaymentWay.CHECKOUT, PaymentStatus.OPEN, FIFTY, "acct_1", BEGAN, "cs_1")


def checkout(status: str = "complete", intent_id: str | None = "pi_1", **changed: object) -> CheckoutFacts:
    made = CheckoutFacts("cs_1", None, status, "paid", intent_id, PAYMENT, FIFTY, None, False)
    return replace(made, **changed)  # type: ignore[arg-type]


def intent(status: str = "succeeded", **changed: object) -> IntentFacts:
    made = IntentFacts("pi_1", status, FIFTY, CHARGE, None, PAYMENT, BEGAN, False)
    return replace(made, **changed)  # type: ignore[arg-type]


def refund(id_: str = "re_1", status: str = "succeeded", minor: int = 2000, our_id: UUID | None = None) -> RefundFacts:
    return RefundFacts(id_, status, Money(minor, "usd"), our_id, None, BEGAN, "pi_1", "ch_1")


def dispute(status: str, *past: str, is_whole: bool = True) -> DisputeFacts:
    return DisputeFacts("dp_1", status, FIFTY, "fraudulent", None, BEGAN, "pi_1", "ch_1", False, past, bool(past) and is_whole)


def facts(
    found: CheckoutFacts | None = None, of: IntentFacts | None = None, *, after: timedelta = timedelta(0),
    refunds: tuple[RefundFacts, ...] = (), disputes: tuple[DisputeFacts, ...] = (),
) -> Facts:  # fmt: skip
    return Facts(BEGAN + after, False, found, of, refunds, disputes)


PAID = facts(checkout(), intent())
NAMED = Know("cs_1", None, "pi_1")


def told(ours: Ours, said: Facts) -> list[Step]:
    return agreement.steps(ours, said)


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (PaymentStatus.OPEN, facts(checkout("open", None)), []),
        (PaymentStatus.STARTING, facts(checkout("open", None)), [Move(PaymentStatus.OPEN)]),
        (PaymentStatus.OPEN, facts(checkout("open"), intent("requires_payment_method", fault="card_declined")), [NAMED]),
        (PaymentStatus.OPEN, facts(checkout("expired", None)), [Move(PaymentStatus.ENDED)]),
        (PaymentStatus.OPEN, facts(checkout(), intent("processing")), [NAMED, Move(PaymentStatus.PROCESSING)]),
        (PaymentStatus.OPEN, facts(checkout(), intent("requires_action")), [NAMED, Move(PaymentStatus.PROCESSING)]),
        (PaymentStatus.OPEN, PAID, [NAMED, Receive(CHARGE)]),
        (PaymentStatus.STARTING, PAID, [NAMED, Receive(CHARGE)]),
        (PaymentStatus.ENDED, PAID, [NAMED, Receive(CHARGE)]),
        (PaymentStatus.FAILED, PAID, [NAMED, Receive(CHARGE)]),
        (
            PaymentStatus.PROCESSING,
            facts(checkout(), intent("requires_payment_method", fault="debit_not_authorized")),
            [NAMED, Move(PaymentStatus.FAILED, "debit_not_authorized")],
        ),
        (PaymentStatus.SUCCEEDED, facts(checkout(), intent("processing")), [NAMED]),
        (PaymentStatus.SUCCEEDED, facts(checkout(), intent("requires_payment_method", fault="late")), [NAMED]),
        (PaymentStatus.SUCCEEDED, facts(checkout("expired", None)), []),
        (PaymentStatus.PROCESSING, facts(checkout(), intent("canceled")), [NAMED, Move(PaymentStatus.FAILED, "canceled")]),
        (PaymentStatus.OPEN, facts(checkout(), intent(charge=None)), [NAMED, Move(PaymentStatus.PROCESSING)]),
        (PaymentStatus.OPEN, facts(checkout("complete", None)), [Move(PaymentStatus.PROCESSING)]),
        (PaymentStatus.OPEN, facts(checkout("a new word", None)), []),
        (PaymentStatus.OPEN, facts(), []),  # nothing is found just now
    ],
)
def test_where_a_payment_stands(status: PaymentStatus, said: Facts, expected: list[Step]) -> None:
    """Late processing and failed change nothing of what succeeded; a declined card leaves the page open."""
    assert told(replace(OURS, status=status), said) == expected


@pytest.mark.parametrize(
    ("way", "after", "expected"),
    [
        (PaymentWay.CHECKOUT, timedelta(minutes=30), []),
        (PaymentWay.CHECKOUT, timedelta(minutes=31), [Move(PaymentStatus.ENDED)]),
        (PaymentWay.LINK, timedelta(minutes=31), [Move(PaymentStatus.ENDED)]),
        (PaymentWay.AUTOPAY, timedelta(hours=24), []),
        (PaymentWay.AUTOPAY, timedelta(hours=25), [Move(PaymentStatus.FAILED, "never_charged")]),
    ],
)
def test_what_stripe_never_heard_of_is_given_up_late(way: PaymentWay, after: timedelta, expected: list[Step]) -> None:
    """Unknown is not failed: a card may have been charged although the answer was lost."""
    starting = replace(OURS, status=PaymentStatus.STARTING, way=way, checkout_session_id=None)
    assert told(starting, facts(after=after)) == expected


@pytest.mark.parametrize(
    ("names", "said", "learnt"),
    [
        ((None, None), facts(checkout("open", None, url="https://pay.example/1")), Know("cs_1", "https://pay.example/1", None)),
        ((None, None), PAID, Know("cs_1", None, "pi_1")),
        (("cs_1", None), facts(None, intent("processing")), Know("cs_1", None, "pi_1")),
        ((None, "pi_1"), facts(checkout("open")), Know("cs_1", None, "pi_1")),
        (("cs_1", "pi_1"), PAID, None),
        (("cs_1", "pi_1"), facts(), None),
    ],
)
def test_what_stripe_calls_it_is_learnt_once_and_never_forgotten(
    names: tuple[str | None, str | None], said: Facts, learnt: Know | None
) -> None:
    """Lost: a payer finds no way back to the page, and nothing that comes later is known to be of this payment."""
    ours = replace(OURS, status=PaymentStatus.STARTING, checkout_session_id=names[0], payment_intent_id=names[1])
    assert [each for each in told(ours, said) if isinstance(each, Know)] == ([learnt] if learnt else [])


def test_a_charge_by_autopay_fails_without_any_page() -> None:
    ours = replace(OURS, way=PaymentWay.AUTOPAY, status=PaymentStatus.STARTING, checkout_session_id=None)
    said = facts(None, intent("requires_payment_method", fault="insufficient_funds"))
    assert told(ours, said)[1:] == [Move(PaymentStatus.FAILED, "insufficient_funds")]


@pytest.mark.parametrize(
    "said",
    [
        facts(checkout(amount=Money(4999, "usd")), intent()),
        facts(checkout(), intent(amount=Money(5000, "cad"))),
        facts(checkout(), intent(livemode=True)),
        facts(checkout(), intent(charge=replace(CHARGE, amount=Money(1, "usd")))),
        facts(checkout(), intent(id="pi_2")),
    ],
)
def test_what_is_not_what_was_begun_is_told_and_entered_nowhere(said: Facts) -> None:
    (step,) = told(replace(OURS, payment_intent_id="pi_1"), said)
    assert isinstance(step, Report) and step.kind == ProblemKind.DIFFERS


def test_the_first_sight_already_carries_a_refund_and_a_lost_dispute() -> None:
    """Each is walked through: the payment is entered before what takes it back."""
    refunded = refund()
    said = facts(checkout(), intent(), refunds=(refunded,), disputes=(dispute("lost"),))
    assert told(OURS, said) == [
        NAMED, Receive(CHARGE), NoteRefund(refunded, RefundStatus.SUCCEEDED, None), GiveBack("re_1", Money(2000, "usd")),
        NoteDispute(dispute("lost"), DisputeStatus.LOST, None), TakeBack("dp_1", FIFTY),
    ]  # fmt: skip


SUCCEEDED = replace(OURS, status=PaymentStatus.SUCCEEDED, payment_intent_id="pi_1")
WAITING = OurRefund(ASKED, Money(2000, "usd"), RefundStatus.ASKED)
SENT = replace(WAITING, status=RefundStatus.SUCCEEDED, stripe_refund_id="re_1", entry=Entry(True))


@pytest.mark.parametrize(
    ("ours", "said", "kinds"),
    [
        ((), refund(), [NoteRefund, GiveBack]),
        ((), refund(status="pending"), [NoteRefund, GiveBack]),
        ((WAITING,), refund(our_id=ASKED), [NoteRefund, GiveBack]),
        ((SENT,), refund(our_id=ASKED), []),
        ((SENT,), refund(status="pending"), []),  # old news
        ((replace(SENT, status=RefundStatus.PENDING),), refund(), [NoteRefund]),
        ((replace(SENT, status=RefundStatus.PENDING),), refund(status="pending"), []),
        ((SENT,), refund(status="failed"), [NoteRefund, PutBack]),
        ((), refund(status="canceled"), [NoteRefund, GiveBack, PutBack]),
        ((replace(SENT, status=RefundStatus.FAILED, entry=Entry(True, True)),), refund(status="failed"), []),
        ((replace(SENT, status=RefundStatus.FAILED, entry=Entry(True, True)),), refund(), []),
        ((), refund(status="a new word"), [Report]),
    ],
)
def test_refunds(ours: tuple[OurRefund, ...], said: RefundFacts, kinds: list[type[Step]]) -> None:
    taken = told(replace(SUCCEEDED, refunds=ours), facts(checkout(), intent(), refunds=(said,)))
    assert [type(each) for each in taken] == kinds


def test_the_answer_that_was_lost_is_known_again_by_our_id_and_amount() -> None:
    """Lost: a refund whose call timed out is made a second time, or one in the dashboard passes for ours."""
    known = replace(SUCCEEDED, refunds=(WAITING,))
    for said, ours in ((refund(our_id=ASKED), WAITING), (refund(our_id=uuid4()), None), (refund(our_id=ASKED, minor=1), None)):
        note = told(known, facts(checkout(), intent(), refunds=(said,)))[0]
        assert isinstance(note, NoteRefund) and note.ours == ours


def test_a_refund_is_known_by_stripes_own_name_for_it_first() -> None:
    """Lost: another refund that carries our mark, made in the dashboard from the first one's page, passes for ours."""
    known = replace(SUCCEEDED, refunds=(SENT,))
    copied = refund("re_2", our_id=ASKED)
    assert told(known, facts(checkout(), intent(), refunds=(copied,)))[0] == NoteRefund(copied, RefundStatus.SUCCEEDED, None)


@pytest.mark.parametrize("found", [refund(), dispute("lost")])
def test_what_goes_back_in_another_currency_is_told_and_entered_nowhere(found: RefundFacts | DisputeFacts) -> None:
    """Lost: fifty yen are taken off an account of dollars as fifty cents."""
    yen = replace(found, amount=Money(50, "jpy"))
    said = replace(PAID, **{"refunds": (yen,)} if isinstance(yen, RefundFacts) else {"disputes": (yen,)})
    assert told(SUCCEEDED, said) == [Report(ProblemKind.DIFFERS, found.id, Money(50, "jpy"))]


def test_nothing_goes_back_of_a_payment_that_has_not_come() -> None:
    """Lost: the account of a family whose bank debit is still on its way owes more by a refund."""
    waits = replace(OURS, status=PaymentStatus.PROCESSING, payment_intent_id="pi_1")
    assert told(waits, facts(checkout(), intent("processing"), refunds=(refund(),), disputes=(dispute("lost"),))) == []


def test_two_refunds_with_one_mark_are_two() -> None:
    """Lost: the second overwrites which of Stripe's refunds the first was, and the account can never be brought to agree."""
    known = replace(SUCCEEDED, refunds=(WAITING,))
    both = (refund("re_1", our_id=ASKED), refund("re_2", our_id=ASKED))
    taken = told(known, facts(checkout(), intent(), refunds=both))
    notes = [(each.facts.id, each.ours) for each in taken if isinstance(each, NoteRefund)]
    assert notes == [("re_1", WAITING), ("re_2", None)]
    assert [each.stripe_refund_id for each in taken if isinstance(each, GiveBack)] == ["re_1", "re_2"]


OPENED = OurDispute("dp_1", DisputeStatus.OPEN)


@pytest.mark.parametrize(
    ("ours", "said", "kinds"),
    [
        (None, "warning_needs_response", [NoteDispute]),
        (None, "warning_closed", [NoteDispute]),
        (None, "needs_response", [NoteDispute]),
        (None, "won", [NoteDispute]),
        (None, "lost", [NoteDispute, TakeBack]),
        (replace(OPENED, status=DisputeStatus.INQUIRY), "needs_response", [NoteDispute]),
        (OPENED, "warning_needs_response", []),
        (OPENED, "under_review", []),
        (OPENED, "lost", [NoteDispute, TakeBack]),
        (OPENED, "won", [NoteDispute]),
        (OurDispute("dp_1", DisputeStatus.LOST, Entry(True)), "lost", []),
        (OurDispute("dp_1", DisputeStatus.LOST, Entry(True)), "needs_response", []),
        (OurDispute("dp_1", DisputeStatus.LOST, Entry(True)), "won", [NoteDispute, WinBack]),
        (OurDispute("dp_1", DisputeStatus.WON, Entry(True, True)), "lost", [NoteDispute, Report]),
        (OurDispute("dp_1", DisputeStatus.LOST, Entry(True, True)), "won", [NoteDispute]),  # a person has looked at it
        (OurDispute("dp_1", DisputeStatus.WON), "lost", [NoteDispute, TakeBack]),
        (OurDispute("dp_1", DisputeStatus.WON), "needs_response", []),
        (OurDispute("dp_1", DisputeStatus.INQUIRY_CLOSED), "warning_under_review", []),
        (OurDispute("dp_1", DisputeStatus.INQUIRY_CLOSED), "needs_response", [NoteDispute]),
        (OurDispute("dp_1", DisputeStatus.INQUIRY_CLOSED), "lost", [NoteDispute, TakeBack]),
        (OurDispute("dp_2", DisputeStatus.LOST, Entry(True)), "lost", [NoteDispute, TakeBack]),  # another one
        (None, "prevented", [Report]),
    ],
)
def test_disputes(ours: OurDispute | None, said: str, kinds: list[type[Step]]) -> None:
    """An inquiry takes nothing; only what is lost does, and what is won gives it back."""
    known = replace(SUCCEEDED, disputes=(ours,) if ours else ())
    taken = told(known, facts(checkout(), intent(), disputes=(dispute(said),)))
    assert [type(each) for each in taken] == kinds


LOST, WON = OurDispute("dp_1", DisputeStatus.LOST, Entry(True)), OurDispute("dp_1", DisputeStatus.WON, Entry(True, True))
BEGINNING, INQUIRY = "needs_response", "warning_needs_response"


@pytest.mark.parametrize(
    ("ours", "said", "statuses", "lines"),
    [
        (None, dispute("won", BEGINNING, "lost", "won"), ["open", "lost", "won"], [TakeBack, WinBack]),
        (None, dispute("won", BEGINNING, "lost"), ["open", "lost", "won"], [TakeBack, WinBack]),  # the last is on its way yet
        (None, dispute("won", "lost", is_whole=False), ["lost", "won"], [TakeBack, WinBack]),
        (None, dispute("lost", INQUIRY, BEGINNING, "lost"), ["inquiry", "open", "lost"], [TakeBack]),
        (None, dispute("won", BEGINNING, "prevented", "won"), ["open", "won"], []),
        (OPENED, dispute("won", BEGINNING, "under_review", "lost", "won"), ["lost", "won"], [TakeBack, WinBack]),
        (OPENED, dispute("won", "won", is_whole=False), ["won"], []),
        (LOST, dispute("won", BEGINNING, "lost", "won"), ["won"], [WinBack]),
        (LOST, dispute("won", "under_review", is_whole=False), ["won"], [WinBack]),
        # What is older than what we know already:
        (WON, dispute("lost", BEGINNING, "lost"), [], []),
        (LOST, dispute("won", BEGINNING, "won"), [], []),
        (LOST, dispute("needs_response", BEGINNING), [], []),
    ],
)
def test_what_a_dispute_went_through_is_walked_through(
    ours: OurDispute | None, said: DisputeFacts, statuses: list[str], lines: list[type[Step]]
) -> None:
    taken = told(replace(SUCCEEDED, disputes=(ours,) if ours else ()), facts(checkout(), intent(), disputes=(said,)))
    noted = [each for each in taken if isinstance(each, NoteDispute)]
    assert [each.status.value for each in noted] == statuses
    assert [each.before for each in noted] == [ours.status if ours else None, *(each.status for each in noted)][: len(noted)]
    assert [type(each) for each in taken if not isinstance(each, NoteDispute)] == lines


def test_what_was_lost_won_and_lost_again_unseen_is_taken_back_once_and_then_told() -> None:
    """A second loss has no line of its own. Lost: it is entered under the first one's name, or nobody hears of it."""
    known = replace(SUCCEEDED, disputes=(OPENED,))
    taken = told(known, facts(checkout(), intent(), disputes=(dispute("lost", "needs_response", "lost", "won"),)))
    assert [type(each) for each in taken] == [NoteDispute, TakeBack, NoteDispute, WinBack, NoteDispute, Report]


# By chance: a history unfolds at Stripe, and we look at it at any moments, each any number of times.


@dataclass
class Books:
    """What the steps do, without a database: the payment as our rows have it, its lines, and what was told."""

    ours: Ours = OURS
    lines: list[tuple[str, str, int]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def look(self, said: Facts) -> list[Step]:
        taken = agreement.steps(self.ours, said)
        for step in taken:
            self.write(step)
        return taken

    def write(self, step: Step) -> None:
        match step:
            case Know():
                names = {"checkout_session_id": step.checkout_session_id, "payment_intent_id": step.payment_intent_id}
                self.ours = replace(self.ours, **names)
            case Move():
                self.ours = replace(self.ours, status=step.to)
            case Receive():
                self.ours = replace(self.ours, status=PaymentStatus.SUCCEEDED)
                self.lines.append(("payment", step.charge.id, -step.charge.amount.minor))
                self.told.append("receipt")
            case NoteRefund():
                others = tuple(each for each in self.ours.refunds if each.stripe_refund_id != step.facts.id and each != step.ours)
                entry = next((each.entry for each in self.ours.refunds if each.stripe_refund_id == step.facts.id), Entry())
                kept = OurRefund(step.ours.id if step.ours else uuid4(), step.facts.amount, step.status, step.facts.id, entry)
                self.ours = replace(self.ours, refunds=(*others, kept))
            case GiveBack():
                self.lines.append(("refund", step.stripe_refund_id, step.amount.minor))
                self.told.append(f"refund {step.stripe_refund_id}")
                self._enter_refund(step.stripe_refund_id, Entry(True))
            case PutBack():
                self.lines.append(("refund", step.stripe_refund_id, -self._amount(step.stripe_refund_id)))
                self._enter_refund(step.stripe_refund_id, Entry(True, True))
            case NoteDispute():
                others_ = tuple(each for each in self.ours.disputes if each.stripe_dispute_id != step.facts.id)
                before = next((each.entry for each in self.ours.disputes if each.stripe_dispute_id == step.facts.id), Entry())
                self.ours = replace(self.ours, disputes=(*others_, OurDispute(step.facts.id, step.status, before)))
                self.told.append(f"dispute {step.status}")
            case TakeBack():
                self.lines.append(("chargeback", step.stripe_dispute_id, step.amount.minor))
                self._enter_dispute(step.stripe_dispute_id, Entry(True))
            case WinBack():
                self.lines.append(("chargeback", step.stripe_dispute_id, -FIFTY.minor))
                self._enter_dispute(step.stripe_dispute_id, Entry(True, True))

    def _amount(self, id_: str) -> int:
        return next(each.amount.minor for each in self.ours.refunds if each.stripe_refund_id == id_)

    def _enter_refund(self, id_: str, entry: Entry) -> None:
        changed = (replace(each, entry=entry) if each.stripe_refund_id == id_ else each for each in self.ours.refunds)
        self.ours = replace(self.ours, refunds=tuple(changed))

    def _enter_dispute(self, id_: str, entry: Entry) -> None:
        changed = (replace(each, entry=entry) if each.stripe_dispute_id == id_ else each for each in self.ours.disputes)
        self.ours = replace(self.ours, disputes=tuple(changed))


AFTER = {
    "": [BEGINNING, INQUIRY], INQUIRY: ["warning_closed", BEGINNING], BEGINNING: ["under_review", "won", "lost"],
    "under_review": ["won", "lost"], "lost": ["won"], "won": ["lost"],  # and what was decided twice is over
}  # fmt: skip


@st.composite
def histories(draw: st.DrawFn) -> list[Facts]:
    """What Stripe says after each thing that happened, from the open page on."""
    said = [facts(checkout("open", None))]
    if draw(st.booleans()):
        said.append(facts(checkout("open"), intent("requires_payment_method", fault="card_declined", charge=None)))
    if draw(st.booleans()):
        said.append(facts(checkout(), intent("processing")))
        if draw(st.booleans()):
            return [*said, facts(checkout(), intent("requires_payment_method", fault="debit_not_authorized"))]
    said.append(PAID)
    refunds: dict[str, RefundFacts] = {}
    disputes: dict[str, DisputeFacts] = {}
    past: list[str] = []
    for _ in range(draw(st.integers(0, 8))):
        what = draw(st.sampled_from(["refund", "settle", "fail", "dispute"]))
        if what == "refund" and len(refunds) < 2:
            id_ = f"re_{len(refunds)}"
            refunds[id_] = refund(id_, draw(st.sampled_from(["pending", "succeeded"])), 1000)
        elif what == "settle" and refunds:
            refunds = {id_: replace(each, status="succeeded" if each.status == "pending" else each.status) for id_, each in refunds.items()}
        elif what == "fail" and refunds:
            refunds["re_0"] = replace(refunds["re_0"], status="failed")
        elif what == "dispute" and (after := AFTER.get(past[-1] if past else "")) and not {"won", "lost"} <= set(past):
            past.append(draw(st.sampled_from(after)))
            disputes["dp_1"] = dispute(past[-1], *past)
        said.append(replace(PAID, refunds=tuple(refunds.values()), disputes=tuple(disputes.values())))
    return said


@given(histories(), st.data())
def test_whenever_we_look_and_how_often_the_books_are_the_same(said: list[Facts], data: st.DataObject) -> None:
    """Each moment of the history may be missed, or seen twice; old news may even come after new. The end is seen."""
    agree_however_they_look(said, data.draw(st.lists(st.integers(0, len(said) - 1), max_size=8)))


def agree_however_they_look(said: list[Facts], moments: list[int]) -> None:
    every, some = Books(), Books()
    for each in said:
        every.look(each)
    for moment in moments:
        some.look(said[moment])
    some.look(said[-1])
    assert sorted(some.lines) == sorted(every.lines)
    assert sorted(some.told) == sorted(every.told)
    assert some.ours.status == every.ours.status
    assert {(each.stripe_refund_id, each.status) for each in some.ours.refunds} == {
        (each.stripe_refund_id, each.status) for each in every.ours.refunds
    }
    assert {(each.stripe_dispute_id, each.status) for each in some.ours.disputes} == {
        (each.stripe_dispute_id, each.status) for each in every.ours.disputes
    }
    assert some.look(said[-1]) == []  # and there is nothing left to write


def test_planted_a_refund_that_is_entered_whenever_it_is_heard_of_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    always = lambda ours, said, known: [NoteRefund(said, RefundStatus.SUCCEEDED, None), GiveBack(said.id, said.amount)]  # noqa: E731
    said = [PAID, replace(PAID, refunds=(refund(),))]
    agree_however_they_look(said, [1, 1, 0])
    monkeypatch.setattr(agreement, "_refund", always)
    with pytest.raises(AssertionError):
        agree_however_they_look(said, [1, 1, 0])
