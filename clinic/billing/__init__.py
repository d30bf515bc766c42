"""What the billing desk does with a patient's account: what touches lines and invoices at once.

`reductions` are charges and what takes them down, `cash` is money over the counter, `corrections` undo a line,
`accounts` finds them, `statements` tells a month.
"""

from clinic.billing.accounts import AccountRow, Showing, accounts
from clinic.billing.cash import (
    LONGEST_REFERENCE,
    OVER_THE_COUNTER,
    DeskPayment,
    Towards,
    apply_credit,
    record_payment,
    refund_cash,
)
from clinic.billing.charges import charge, discount, write_off
from clinic.billing.corrections import correct

__all__ = [
    "LONGEST_REFERENCE",
    "OVER_THE_COUNTER",
    "AccountRow",
    "DeskPayment",
    "Showing",
    "Towards",
    "accounts",
    "apply_credit",
    "charge",
    "correct",
    "discount",
    "record_payment",
    "refund_cash",
    "write_off",
]
