"""What stands on an invoice, a receipt and a month's statement. Read in the caller's transaction, as that person sees it."""

from calendar import monthrange
from datetime import date
from uuid import UUID

from babel import Locale
from babel.dates import format_date, format_skeleton
from flask_babel import get_locale
from flask_babel import gettext as _
from sqlalchemy import select

from clinic import account, invoices
from clinic.account import LineKind, LineRow
from clinic.billing_papers.printing import Paper, PaperTable
from clinic.billing_papers.words import LINE_KINDS, METHODS, said
from clinic.invoices import InvoicePage
from clinic.money import Money
from clinic.payments import Payment
from tenancy import clinics
from tenancy.database import db
from tenancy.errors import NotFound


def invoice(found: InvoicePage, patient_name: str) -> Paper:
    """An issued one, with what paid it."""
    row = found.invoice
    name = _("Invoice %(number)s", number=row.number)
    facts = [(_("For"), patient_name), (_("Issued"), _day(row.issued_on)), (_("Due"), _day(row.due_on))]
    if row.voided_at:
        facts.append((_("Cancelled"), _("Nothing is to be paid.")))
    totals = [(_("Total"), row.total), (_("Paid"), row.paid), (_("To pay"), row.due)]
    tables = [
        PaperTable(
            _("What it is made of"),
            (_("What for"), _("Day"), _("Amount")),
            tuple((str(said(each)), _day(each.dated_on), each.amount.written()) for each in found.lines),
            tuple((word, amount.written()) for word, amount in totals),
        )
    ]
    if found.payments:
        tables.append(
            PaperTable(
                _("What was paid"),
                (_("Paid by"), _("Day"), _("Amount")),
                tuple((method_of(each), _day(each.dated_on), (-each.amount).written()) for each in found.payments),
            )
        )
    return _paper(name, facts, tables, f"invoice-{row.number}")


def receipt(line_id: UUID, patient_id: UUID, patient_name: str) -> Paper:
    """For a payment, whoever made it. Raises NotFound for a line that is none, or was corrected."""
    line = account.row_of(line_id, patient_id)
    if not line.is_payment or account.find_correction(line_id):
        raise NotFound("receipt")
    paid, left = -line.amount, account.left_of(line_id)
    facts = [
        (_("For"), patient_name),
        (_("Received on"), _day(line.dated_on)),
        (_("Paid by"), method_of(line)),
        (_("Amount"), paid.written()),
    ]
    if left != paid:
        facts.append((_("Given back since"), (paid - left).written()))
    went = invoices.allocated_from(line_id)
    rows = invoices.rows_of(invoice_id for invoice_id, _amount in went)
    totals = [(_("Credit on the account"), account.credit_of(line_id))] if account.credit_of(line_id).minor else []
    table = PaperTable(
        _("What it paid"),
        (_("What for"), _("Amount")),
        # A family that is shown no invoices sees that money went to one, and not to which.
        tuple((_invoice(rows[each].number) if each in rows else _("An invoice"), amount.written()) for each, amount in went),
        tuple((word, amount.written()) for word, amount in totals),
    )
    tables = [table] if table.rows or table.totals else []
    return _paper(_("Receipt"), facts, tables, f"receipt-{line.dated_on.isoformat()}")


def statement(month: date, patient_id: UUID, patient_name: str) -> Paper:
    """A month of the account, given by its first day: what it began with, every line, what it ended with."""
    currency = clinics.current().currency
    first, last = month.replace(day=1), month.replace(day=monthrange(month.year, month.month)[1])
    lines = account.lines_of_patient(patient_id, since=first, until=last)[::-1]
    closing = account.balance_of_patient(patient_id, currency, until=last)
    opening = closing - sum((each.amount for each in lines), Money(0, currency))
    table = PaperTable(
        _("On the account"),
        (_("What for"), _("Kind"), _("Day"), _("Amount")),
        (
            (_("Balance before"), "", _day(first), opening.written()),
            *((str(said(each)), str(_kind(each)), _day(each.dated_on), each.amount.written()) for each in lines),
        ),
        ((_("Balance on %(day)s", day=_day(last)), closing.written()),),
    )
    named = str(format_skeleton("yMMMM", first, locale=_locale()))
    title = _("Statement for %(month)s", month=named)
    return _paper(title, [(_("For"), patient_name)], [table], f"statement-{first:%Y-%m}")


def month_of(text: str, today: date) -> date:
    """`2026-03` → its first day. Raises NotFound for what is no month, and for one that has not begun."""
    try:
        month = date.fromisoformat(f"{text}-01") if len(text) == len("2026-03") else None
    except ValueError:
        month = None
    if month is None or not account.EVER <= month <= today:
        raise NotFound("statement")
    return month


def method_of(line: LineRow) -> str:
    """How a payment was made, as its reader may know it: the card only if it is theirs."""
    card = db.session.scalars(select(Payment.card).where(Payment.line_id == line.id)).one_or_none()
    return str(card or METHODS[account.Method(line.method)]) if line.method else ""


def _paper(title: str, facts: list[tuple[str, str]], tables: list[PaperTable], file_name: str) -> Paper:
    clinic = clinics.current()
    closing = _("A question about an amount? Please ask %(clinic)s.", clinic=clinic.name)
    return Paper(_locale().language, title, clinic.name, tuple(facts), tuple(tables), closing, f"{file_name}.pdf")


def _kind(line: LineRow) -> str:
    kind = str(LINE_KINDS[LineKind(line.kind)])
    return str(_("%(kind)s, corrected", kind=kind)) if line.corrects_id else kind


def _invoice(number: int | None) -> str:
    return str(_("Invoice %(number)s", number=number))


def _day(day: date | None) -> str:
    return "" if day is None else str(format_date(day, "medium", locale=_locale()))


def _locale() -> Locale:
    return get_locale() or Locale("en")
