"""A patient's billing account: signed lines; the balance is their sum. Lines are never changed: a correction is a line.

`lines` are the rows, `entering` adds them, `allocations` tell which invoice a payment went to and what is left of it.
"""

from clinic.account.allocations import Allocation, credit_of, credits_of_patient, left_of
from clinic.account.entering import enter, find_by_source, find_correction, get, get_payment, lock, reverse
from clinic.account.lines import (
    BILLED,
    LONGEST_DESCRIPTION,
    TAKEN_BACK,
    AccountLine,
    LineKind,
    Method,
)
from clinic.account.questions import (
    EVER,
    LINE_COLUMNS,
    LineRow,
    balance_of_patient,
    line_row,
    lines_of_patient,
    months_of_patient,
    row_of,
)

__all__ = [
    "BILLED",
    "EVER",
    "LINE_COLUMNS",
    "LONGEST_DESCRIPTION",
    "TAKEN_BACK",
    "AccountLine",
    "Allocation",
    "LineKind",
    "LineRow",
    "Method",
    "balance_of_patient",
    "credit_of",
    "credits_of_patient",
    "enter",
    "find_by_source",
    "find_correction",
    "get",
    "get_payment",
    "left_of",
    "line_row",
    "lines_of_patient",
    "lock",
    "months_of_patient",
    "reverse",
    "row_of",
]
