"""Invoices: a set of account lines with a number, gapless in a clinic, and a due date; and the payments that went to it.

States: draft (no number), then open, partly paid or paid, by what its lines and allocations add up to, or void. Its one
surprise: money is never moved between lines. A payment is one line of the account; which invoices it pays is told by
allocations beside it, and what is not allocated is credit. `allocating` moves that, `drafting` the invoice itself.
"""

from clinic.account import Allocation
from clinic.invoices.allocating import (
    allocate,
    allocate_oldest_first,
    allocated_from,
    lock,
    payable_of,
    release,
    release_excess,
)
from clinic.invoices.drafting import (
    BEING_PAID,
    add_lines,
    discard,
    draft,
    invoice_of,
    issue,
    lines_on,
    place,
    remove_line,
    unplace,
    usual_due_day,
    void,
)
from clinic.invoices.questions import (
    PAID,
    ROWS,
    TOTAL,
    InvoicePage,
    InvoiceRow,
    InvoiceStatus,
    being_paid,
    due_of,
    get_of_patient,
    numbers_of_lines,
    of_patient,
    row_of,
    rows_of,
    unbilled_of,
)
from clinic.invoices.rows import Invoice, InvoiceLine, InvoiceMailing, PaymentInvoice

__all__ = [
    "BEING_PAID",
    "PAID",
    "ROWS",
    "TOTAL",
    "Allocation",
    "Invoice",
    "InvoiceLine",
    "InvoiceMailing",
    "InvoicePage",
    "InvoiceRow",
    "InvoiceStatus",
    "PaymentInvoice",
    "add_lines",
    "allocate",
    "allocate_oldest_first",
    "allocated_from",
    "being_paid",
    "discard",
    "draft",
    "due_of",
    "get_of_patient",
    "invoice_of",
    "issue",
    "lines_on",
    "lock",
    "numbers_of_lines",
    "of_patient",
    "payable_of",
    "place",
    "release",
    "release_excess",
    "remove_line",
    "row_of",
    "rows_of",
    "unbilled_of",
    "unplace",
    "usual_due_day",
    "void",
]
