"""A patient's billing account: signed lines; the balance is their sum. Lines are never changed: a correction is a line."""

from clinic.account.lines import (
    BILLED,
    LONGEST_DESCRIPTION,
    TAKEN_BACK,
    AccountLine,
    LineKind,
    Method,
)
from clinic.account.questions import LINE_COLUMNS, LineRow, balance_of_patient, line_row, lines_of_patient

__all__ = [
    "BILLED",
    "LINE_COLUMNS",
    "LONGEST_DESCRIPTION",
    "TAKEN_BACK",
    "AccountLine",
    "LineKind",
    "LineRow",
    "Method",
    "balance_of_patient",
    "line_row",
    "lines_of_patient",
]
