"""Payments online: begun here, made on Stripe's pages on the clinic's own account, entered when Stripe confirms.

Its one surprise: nothing that Stripe sends decides what is paid. Whatever is heard only says which payment to look at; it is
then read from Stripe afresh, compared with our own row, and the account is brought to agree with it.
"""

from clinic.invoices import PaymentInvoice
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
    "NEXT",
    "UNFINISHED",
    "Autopay",
    "AutopayEnding",
    "AutopayNotice",
    "Dispute",
    "DisputeStatus",
    "Payment",
    "PaymentInvoice",
    "PaymentProblem",
    "PaymentStatus",
    "PaymentWay",
    "Refund",
    "RefundStatus",
    "SavedCard",
    "StripeCustomer",
]
