"""Payments online: begun here, made on Stripe's pages on the clinic's own account, entered when Stripe confirms.

Its one surprise: nothing that Stripe sends decides what is paid. Whatever is heard only says which payment to look at; it is
then read from Stripe afresh, compared with our own row, and the account is brought to agree with it.

`beginning` a payment, by a portal user or `by_link` → `looking` at it, ours and Stripe's → `agreement`, pure: what must be written → `entering` it; the three
together are `agreeing`, which webhooks, the jobs of `follow_up` and the reconciliation call alike.
"""

from clinic.payments.agreeing import bring_up_to_date, look_at_checkout, look_at_intent
from clinic.payments.autopay import AutopayRow
from clinic.payments.beginning import (
    KEY_IN_USE,
    Wish,
    begin,
    called_off,
    find_account,
    find_mine_live,
    may_ask_again,
    opened,
    order_of,
    refused,
)
from clinic.payments.cards import CardRow
from clinic.payments.charging import pay_what_is_due
from clinic.payments.follow_up import end_checkout, end_checkouts_of, look_again, look_soon, try_to_look
from clinic.payments.looking import get
from clinic.payments.problems import ProblemKind, ProblemRow
from clinic.payments.questions import (
    DisputeRow,
    DisputeToAnswer,
    GivenBack,
    PaymentRow,
    RefundRow,
    disputes_of,
    disputes_to_answer,
    find_paying,
    given_back,
    of_id,
    of_patient,
    patient_of_mine,
    refundable,
    refunds_of,
    unfinished_of_patient,
)
from clinic.payments.rows import (
    NEXT,
    UNFINISHED,
    Autopay,
    AutopayEnding,
    AutopayNotice,
    Dispute,
    DisputeStatus,
    Payment,
    PaymentProblem,
    PaymentStatus,
    PaymentWay,
    Refund,
    RefundStatus,
    SavedCard,
    StripeCustomer,
)

__all__ = [
    "KEY_IN_USE",
    "NEXT",
    "UNFINISHED",
    "Autopay",
    "AutopayEnding",
    "AutopayNotice",
    "AutopayRow",
    "CardRow",
    "Dispute",
    "DisputeRow",
    "DisputeStatus",
    "DisputeToAnswer",
    "GivenBack",
    "Payment",
    "PaymentProblem",
    "PaymentRow",
    "PaymentStatus",
    "PaymentWay",
    "ProblemKind",
    "ProblemRow",
    "Refund",
    "RefundRow",
    "RefundStatus",
    "SavedCard",
    "StripeCustomer",
    "Wish",
    "begin",
    "bring_up_to_date",
    "called_off",
    "disputes_of",
    "disputes_to_answer",
    "end_checkout",
    "end_checkouts_of",
    "find_account",
    "find_mine_live",
    "find_paying",
    "look_again",
    "get",
    "given_back",
    "look_at_checkout",
    "look_at_intent",
    "look_soon",
    "may_ask_again",
    "of_id",
    "of_patient",
    "opened",
    "order_of",
    "patient_of_mine",
    "pay_what_is_due",
    "refundable",
    "refunds_of",
    "refused",
    "try_to_look",
    "unfinished_of_patient",
]
