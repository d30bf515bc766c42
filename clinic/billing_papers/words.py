"""What families read for the words of the account."""

from flask_babel import lazy_gettext as _l

from clinic.account import LineKind, Method

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
