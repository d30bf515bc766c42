"""Invoices, receipts and statements as PDF files, tagged so that a screen reader reads them too.

`papers` say what stands on one, in the reader's language; `printing` makes the file, outside of any transaction.
"""

from clinic.billing_papers.papers import invoice, method_of, month_of, receipt, statement
from clinic.billing_papers.printing import Paper, PaperTable, printed
from clinic.billing_papers.words import LINE_KINDS, METHODS, said

__all__ = [
    "LINE_KINDS",
    "METHODS",
    "Paper",
    "PaperTable",
    "invoice",
    "method_of",
    "month_of",
    "printed",
    "receipt",
    "said",
    "statement",
]
