"""Invoices: a set of account lines with a number, gapless in a clinic, and a due date; and the payments that went to it.

States: draft (no number), then open, partly paid or paid, by what its lines and allocations add up to, or void. Its one
surprise: money is never moved between lines. A payment is one line of the account; which invoices it pays is told by
allocations beside it, and what is not allocated is credit.
"""

from clinic.invoices.questions import ROWS, InvoicePage, InvoiceRow, InvoiceStatus, get_of_patient, of_patient, row_of
from clinic.invoices.rows import Allocation, Invoice, InvoiceLine, InvoiceMailing

__all__ = [
    "ROWS",
    "Allocation",
    "Invoice",
    "InvoiceLine",
    "InvoiceMailing",
    "InvoicePage",
    "InvoiceRow",
    "InvoiceStatus",
    "get_of_patient",
    "of_patient",
    "row_of",
]
