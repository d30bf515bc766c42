"""What families read for the words of the account."""

from typing import Any

from flask_babel import lazy_gettext as _l

from clinic.account import LineKind, LineRow, Method

LINE_KINDS = {
    LineKind.CHARGE: _l("Charge"),
    LineKind.PAYMENT: _l("Payment"),
    LineKind.DISCOUNT: _l("Discount"),
    LineKind.WRITE_OFF: _l("Taken off by the clinic"),
    LineKind.REFUND: _l("Refund"),
    LineKind.CHARGEBACK: _l("Payment taken back by the bank"),
}
METHODS = {
    Method.CASH: _l("Cash"),
    Method.CHEQUE: _l("Cheque"),
    Method.CARD: _l("Card"),
    Method.BANK_DEBIT: _l("Bank debit"),
    Method.OTHER: _l("Another way"),
}
# What Stripe did is said by kind, in the reader's language: (kind, whether it is a correction)
ONLINE = {
    (LineKind.PAYMENT, False): _l("Paid online"),
    (LineKind.REFUND, False): _l("Refunded"),
    (LineKind.REFUND, True): _l("The refund did not arrive"),
    (LineKind.CHARGEBACK, False): _l("Taken back by the bank"),
    (LineKind.CHARGEBACK, True): _l("The bank gave it back"),
}


def said(line: LineRow) -> Any:
    """What a line is for: in the clinic's own words, but for what Stripe did."""
    is_correction = line.corrects_id is not None
    online = ONLINE.get((LineKind(line.kind), is_correction)) if line.is_online else None
    return online or line.description
