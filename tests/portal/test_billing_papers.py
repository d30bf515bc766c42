"""Lost if it fails: a family has no receipt for what it paid, or one that a screen reader cannot read, or another's."""

import io
from datetime import date
from pathlib import Path
from typing import Any

import pikepdf
import pytest
import typst
from flask import Flask
from flask_babel import force_locale

from clinic import account, billing, billing_papers, demo, invoices, portal_settings
from clinic.account import LineKind, Method
from clinic.billing_papers import Paper, printing
from clinic.payments import Payment
from tenancy import clock
from tenancy.database import db
from tenancy.tenant import Role
from tests.books import being_paid, cash, charge, invoice, newcomer, usd
from tests.inside import inside, patient, user
from tests.visitor import Visitor

MONTH = f"{clock.now():%Y-%m}"


def opened(data: bytes, *, claims: bool = True) -> pikepdf.Pdf:
    """A PDF file that says its language and how it is to be read, and claims PDF/UA."""
    pdf = pikepdf.open(io.BytesIO(data))
    assert pdf.Root.MarkInfo.Marked and "/StructTreeRoot" in pdf.Root and "/Lang" in pdf.Root
    assert (b"pdfuaid:part>1<" in pdf.Root.Metadata.read_bytes()) == claims
    return pdf


def words(paper: Paper) -> list[str]:
    facts = [each for fact in paper.facts for each in fact]
    rows = [cell for table in paper.tables for row in (*table.rows, *table.totals) for cell in row]
    return [paper.title, *facts, *rows]


def leos(app: Flask) -> dict[str, Any]:
    with inside(app, demo.ELM):
        leo = patient("Leo Lopez").id
        paid = next(each.id for each in invoices.of_patient(leo) if each.status == "paid")
        lines = account.lines_of_patient(leo)
        return {
            "leo": leo, "invoice": paid,
            "payment": invoices.get_of_patient(paid, leo).payments[0].id,
            "credit": next(each.id for each in lines if each.is_payment and account.credit_of(each.id).minor),
            "charge": next(each.id for each in lines if each.kind == LineKind.CHARGE),
        }  # fmt: skip


def test_a_family_keeps_its_papers_as_tagged_files(app: Flask, maria: Visitor) -> None:
    ids = leos(app)
    home = f"/patients/{ids['leo']}"
    page = maria.read(f"{home}/billing")
    for path in (f"/invoices/{ids['invoice']}/download", f"/receipts/{ids['payment']}", f"/statements/{MONTH}"):
        answer = maria.get(home + path)
        assert (answer.status_code, answer.mimetype) == (200, "application/pdf")
        assert "attachment" in answer.headers["Content-Disposition"]
        assert opened(answer.data).Root.Lang == "en"
        assert path in page or path in maria.read(f"{home}/invoices/{ids['invoice']}")
    maria.get("/profile")
    maria.post("/profile", {"name": "Maria Lopez", "language": "es"})
    pdf = opened(maria.get(f"{home}/statements/{MONTH}").data)
    assert pdf.Root.Lang == "es" and "Estado de cuenta" in str(pdf.docinfo["/Title"])


@pytest.mark.parametrize("month", ["2999-01", "2026-13", "2026-1", "202601", "last", "2026-01-01", "1800-01"])
def test_there_is_no_statement_of_such_a_month(app: Flask, maria: Visitor, ben: Visitor, month: str) -> None:
    leo = leos(app)["leo"]
    assert maria.get(f"/patients/{leo}/statements/{month}").status_code == 404
    assert ben.get(f"/elm-street/patients/{leo}/account/statements/{month}").status_code == 404


def test_only_a_payment_has_a_receipt(app: Flask, maria: Visitor, ben: Visitor) -> None:
    ids = leos(app)
    assert maria.get(f"/patients/{ids['leo']}/receipts/{ids['charge']}").status_code == 404
    with inside(app, demo.ELM):
        billing.correct(ids["payment"], ids["leo"], "Another family's")
    assert ben.get(f"/elm-street/patients/{ids['leo']}/account/lines/{ids['payment']}/receipt").status_code == 404


def test_what_the_clinic_hides_is_not_to_be_had_as_a_file(app: Flask, maria: Visitor) -> None:
    ids = leos(app)
    home = f"/patients/{ids['leo']}"

    def answers() -> list[int]:
        paths = (f"/invoices/{ids['invoice']}/download", f"/receipts/{ids['payment']}", f"/receipts/{ids['credit']}", f"/statements/{MONTH}")
        return [maria.get(home + path).status_code for path in paths]

    for balance, shown, expected in ((True, False, [404, 200, 200, 200]), (False, True, [200, 200, 404, 404]), (False, False, [404] * 4)):
        with inside(app, demo.ELM):
            kept = portal_settings.get()
            kept.shows_balance, kept.shows_invoices = balance, shown
        assert answers() == expected, (balance, shown)


def test_what_stands_on_an_invoice(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        sent = invoice(nell, 5000)
        billing.discount(invoices.lines_on(sent)[0], nell, usd(500), "Sibling")
        invoices.allocate_oldest_first(cash(nell, 2000))
        paper = billing_papers.invoice(invoices.get_of_patient(sent, nell), "Nell Newcomer")
        said = words(paper)
        assert paper.title.startswith("Invoice 1") and paper.sender == "Elm Street Therapy"
        assert {"Nell Newcomer", "$50.00", "-$5.00", "$45.00", "$20.00", "$25.00", "Cash", "Sibling"} <= set(said)
        invoices.void(sent, nell, "Billed twice")
        assert "Cancelled" in words(billing_papers.invoice(invoices.get_of_patient(sent, nell), "Nell Newcomer"))
    opened(billing_papers.printed(paper))


def test_what_stands_on_a_receipt(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        sent, paid = invoice(nell, 5000), cash(nell, 8000)
        invoices.allocate_oldest_first(paid)
        today = account.row_of(paid, nell).dated_on
        billing.refund_cash(paid, nell, usd(1000), "Paid too much", today)
        number = invoices.rows_of([sent])[sent].number
        said = words(billing_papers.receipt(paid, nell, "Nell Newcomer"))
    assert {"$80.00", "Cash", f"Invoice {number}", "$50.00", "Given back since", "$10.00", "Credit on the account", "$20.00"} <= set(said)


def test_a_card_is_named_to_its_owner_alone(app: Flask) -> None:
    with inside(app, demo.ELM):
        leo = patient("Leo Lopez").id
        line = account.enter(leo, LineKind.PAYMENT, usd(500), "Paid online", method=Method.CARD, source_id="ch_x")
        claim = being_paid(invoice(leo, 500), leo, 500)
        payment = db.session.get_one(Payment, (claim.clinic_id, claim.payment_id))
        payment.status, payment.line_id, payment.method, payment.card = "succeeded", line, "card", "Visa 4242"
        claim.released_at = clock.now()
        maria, omar = user("maria@family.example").id, user("omar@family.example").id
    for who, method in ((maria, "Visa 4242"), (omar, "Card")):
        with inside(app, demo.ELM):
            row = account.row_of(line, leo)
        with inside(app, demo.ELM, Role.PORTAL, who):
            assert billing_papers.method_of(row) == method


def test_a_statement_begins_where_the_month_before_ended(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        billing.charge(nell, usd(5000), "A visit", date(2026, 2, 28))
        billing.charge(nell, usd(700), "First of March", date(2026, 3, 1))
        billing.charge(nell, usd(20), "Last of March", date(2026, 3, 31))
        billing.charge(nell, usd(9), "April", date(2026, 4, 1))
        with app.test_request_context(), force_locale("es"):
            paper = billing_papers.statement(date(2026, 3, 1), nell, "Nell Ñandú")
        table = paper.tables[0]
        assert [row[0] for row in table.rows] == ["Saldo anterior", "First of March", "Last of March"]
        assert [row[-1].replace("\u00a0", " ") for row in table.rows] == ["50,00 US$", "7,00 US$", "0,20 US$"]
        assert table.totals[0][1].replace("\u00a0", " ") == "57,20 US$"
        assert (paper.language, paper.file_name) == ("es", "statement-2026-03.pdf")
        assert billing_papers.statement(date(2026, 1, 1), nell, "Nell").tables[0].totals[0][1] == "$0.00"
    opened(billing_papers.printed(paper))


def test_what_somebody_typed_is_never_read_as_a_command(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell = newcomer()
        account.enter(nell, LineKind.CHARGE, usd(1), '#read("/etc/passwd") *bold* "} $x$ <a> \\ ñ 漢 ✓')
        charge(nell, 2)
        paper = billing_papers.statement(clock.now().date().replace(day=1), nell, "#panic()")
    first, second = billing_papers.printed(paper), billing_papers.printed(paper)
    assert first == second and len(opened(first, claims=False).pages) == 1


def test_a_layout_that_does_not_compile_is_no_missing_letter(app: Flask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken.typ"
    broken.write_text("#nothing-of-that-name")
    monkeypatch.setattr(printing, "LAYOUT", broken)
    with app.app_context(), pytest.raises(typst.TypstError):
        billing_papers.printed(Paper("en", "A paper", "Elm", (), (), "", "a.pdf"))


def test_nothing_is_printed_while_a_transaction_waits(app: Flask) -> None:
    paper = Paper("en", "A paper", "Elm", (), (), "", "a.pdf")
    with inside(app, demo.ELM), pytest.raises(RuntimeError):
        billing_papers.printed(paper)


def test_staff_keep_the_same_papers(app: Flask, ben: Visitor) -> None:
    ids = leos(app)
    home = f"/elm-street/patients/{ids['leo']}"
    for path in (f"/invoices/{ids['invoice']}/download", f"/account/lines/{ids['payment']}/receipt", f"/account/statements/{MONTH}"):
        opened(ben.get(home + path).data)
