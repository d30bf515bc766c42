"""Invoices: a set of account lines with a number, gapless in a clinic, and a due date; and the payments that went to it.

States: draft (no number), then open, partly paid or paid, by what its lines and allocations add up to, or void. Its one
surprise: money is never moved between lines. A payment is one line of the account; which invoices it pays is told by
allocations beside it, and what is not allocated is credit.
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
from clinic.invoices.questions import (
    ROWS,
    InvoicePage,
    InvoiceRow,
    InvoiceStatus,
    being_paid,
    due_of,
    get_of_patient,
    of_patient,
    row_of,
    rows_of,
)
from clinic.invoices.rows import Invoice, InvoiceLine, InvoiceMailing, PaymentInvoice

__all__ = [
    "ROWS",
    "Allocation",
    "Invoice",
    "InvoiceLine",
    "InvoiceMailing",
    "InvoicePage",
    "InvoiceRow",
    "InvoiceStatus",
    "PaymentInvoice",
    "allocate",
    "allocate_oldest_first",
    "allocated_from",
    "being_paid",
    "due_of",
    "get_of_patient",
    "lock",
    "of_patient",
    "payable_of",
    "release",
    "release_excess",
    "row_of",
    "rows_of",
]
