"""Lost if it fails: whoever keeps the books cannot find an account, or enters something and nobody can tell what became of it."""

from uuid import UUID

import pytest
from flask import Flask

from clinic import account, billing_settings, demo, invoices, payments
from clinic.billing_settings import BillingDetails
from clinic.invoices import InvoiceStatus
from clinic.payments import PaymentStatus
from clinic.stripe_gateway import StripeUnknown
from tenancy.errors import Refused
from tests.access import recorded
from tests.books import being_paid, draft, invoice, newcomer, usd
from tests.inside import inside, patient
from tests.visitor import Visitor

HOME = "/elm-street"


@pytest.fixture
def nell(app: Flask) -> UUID:
    with inside(app, demo.ELM):
        return newcomer()


def made(app: Flask, patient_id: UUID, *minors: int) -> UUID:
    with inside(app, demo.ELM):
        return invoice(patient_id, *minors)


def test_ben_finds_an_account_and_no_record(ben: Visitor) -> None:
    listed = ben.read(f"{HOME}/accounts")
    assert "Leo Lopez" in listed and "overdue since" in listed
    assert "Zoe Haddad" not in ben.read(f"{HOME}/accounts?q=leo")
    assert "No account found" in ben.read(f"{HOME}/accounts?q=nobody")
    assert "Billing" in ben.read(f"{HOME}/")
    for show in ("overdue", "credit", "all", "made up"):
        ben.read(f"{HOME}/accounts?show={show}")


def test_an_account_shows_no_way_to_records_to_whoever_may_not_open_them(app: Flask, ben: Visitor, ana: Visitor) -> None:
    with inside(app, demo.ELM):
        leo = patient("Leo Lopez").id
    path = f"{HOME}/patients/{leo}/account"
    assert f"{HOME}/patients/{leo}/documents" not in ben.read(path)
    assert f"{HOME}/patients/{leo}/documents" in ana.read(path)
    assert ">Billing<" in ana.read(f"{HOME}/patients/{leo}/documents")


def test_from_a_charge_to_a_paid_invoice(app: Flask, ben: Visitor, nell: UUID) -> None:
    path = f"{HOME}/patients/{nell}"
    assert "No invoices yet" in ben.read(f"{path}/account")
    ben.get(f"{path}/account/charges/new")
    form = {"description": "A visit", "amount": "1,250.50", "dated_on": "2026-01-31"}
    assert ben.post(f"{path}/account/charges/new", form).status_code == 303
    with inside(app, demo.ELM):
        line = account.lines_of_patient(nell)[0].id
    page = ben.read(f"{path}/invoices/new")
    assert "$1,250.50" in page and f'value="{line}" checked' in page
    to = ben.post(f"{path}/invoices/new", {"line_ids": str(line)}).headers["Location"]
    assert "Discard the draft" in ben.read(to)
    assert ben.post(f"{to}/issuing", {"due_on": ""}).status_code == 422
    ben.post(f"{to}/issuing", {"due_on": "2030-01-31"})
    ben.get(f"{to}/issuing")
    with inside(app, demo.ELM):
        due = invoices.usual_due_day().isoformat()
    assert ben.post(f"{to}/issuing", {"due_on": due}).status_code == 303
    page = ben.read(to)
    assert "Open" in page and "Record a payment" in page and "issued already" in ben.read(f"{to}/issuing")
    invoice_id = to.rpartition("/")[2]
    paying = f"{path}/account/payments/new"
    assert 'value="1250.50"' in ben.read(f"{paying}?invoice={invoice_id}")
    form = {"method": "cash", "amount": "1300", "dated_on": "2026-02-28", "towards": invoice_id}
    assert ben.post(paying, form).status_code == 303
    assert "$49.50 of it is credit" in ben.read(f"{path}/account")
    assert "Paid" in ben.read(to)


@pytest.mark.parametrize("amount", ["", "0", "-5", "0.005", "NaN", "1e309", "999999999"])
def test_what_is_no_amount_is_said_at_the_field(ben: Visitor, nell: UUID, amount: str) -> None:
    path = f"{HOME}/patients/{nell}/account/charges/new"
    ben.get(path)
    answer = ben.post(path, {"description": "A visit", "amount": amount, "dated_on": "2026-01-31"})
    assert answer.status_code == 422 and 'id="amount-error"' in answer.text and "A visit" in answer.text


def test_a_draft_is_put_together(app: Flask, ben: Visitor, nell: UUID) -> None:
    with inside(app, demo.ELM):
        made_ = draft(nell, 5000)
        only = invoices.lines_on(made_)[0]
    path = f"{HOME}/patients/{nell}/invoices/{made_}"
    ben.get(path)
    ben.post(f"{path}/lines/{only}/removal")
    assert "Taken off the draft" in (page := ben.read(path)) and "Put on this draft" in page
    ben.post(f"{path}/lines")
    assert "Choose what to bill" in ben.read(path)
    ben.post(f"{path}/lines", {"line_ids": str(only)})
    assert "Added to the draft" in ben.read(path)
    assert ben.post(f"{path}/discarding").status_code == 303
    assert ben.get(path).status_code == 404


def test_credit_pays_on_the_press_of_a_button(app: Flask, ben: Visitor, nell: UUID) -> None:
    one, other = made(app, nell, 1000), made(app, nell, 500)
    path = f"{HOME}/patients/{nell}"
    ben.get(f"{path}/account/payments/new")
    form = {"method": "cash", "amount": "12", "dated_on": "2026-02-28", "towards": "credit"}
    ben.post(f"{path}/account/payments/new", form)
    assert "Pay with credit ($12.00)" in ben.read(f"{path}/invoices/{other}")
    ben.post(f"{path}/invoices/{other}/credit")
    assert "as far as that goes" in ben.read(f"{path}/invoices/{other}")
    ben.post(f"{path}/account/credit")
    assert "$7.00 of credit paid" in ben.read(f"{path}/account")
    ben.post(f"{path}/account/credit")
    assert "There is no credit" in ben.read(f"{path}/account")
    with inside(app, demo.ELM):
        assert invoices.due_of([one, other]) == {one: usd(300), other: usd(0)}


def test_a_line_is_discounted_corrected_and_given_back(app: Flask, ben: Visitor, nell: UUID) -> None:
    sent, path = made(app, nell, 5000), f"{HOME}/patients/{nell}"
    with inside(app, demo.ELM):
        line = invoices.lines_on(sent)[0]
    reducing = f"{path}/account/reductions/new"
    assert f'selected value="{line}"' in ben.read(f"{reducing}?charge={line}")
    form = {"kind": "write_off", "charge_id": str(line), "amount": "60", "description": "Hardship"}
    assert "more than is due" in ben.post(reducing, form).text
    assert ben.post(reducing, form | {"amount": "10"}).status_code == 303
    ben.get(f"{path}/account/payments/new")
    ben.post(f"{path}/account/payments/new", {"method": "cheque", "amount": "40", "dated_on": "2026-02-28", "towards": "oldest"})
    with inside(app, demo.ELM):
        paid = next(each.id for each in account.lines_of_patient(nell) if each.is_payment)
    assert "Give back" in ben.read(f"{path}/account/lines/{paid}")
    refunding = f"{path}/account/lines/{paid}/refund"
    form = {"amount": "50", "dated_on": "2026-03-01", "description": "Paid twice"}
    ben.get(refunding)
    assert "left of the payment" in ben.post(refunding, form).text
    assert ben.post(refunding, form | {"amount": "15"}).status_code == 303
    correcting = f"{path}/account/lines/{line}/correction"
    ben.get(correcting)
    assert "Correct the discount or write-off first" in ben.post(correcting, {"reason": "Cancelled"}).text
    with inside(app, demo.ELM):
        off = next(each.id for each in account.lines_of_patient(nell) if each.kind == "write_off")
    assert ben.post(f"{path}/account/lines/{off}/correction", {"reason": "Another family's"}).status_code == 303
    assert "This line was corrected" in ben.read(f"{path}/account/lines/{off}")
    ben.post(f"{path}/account/lines/{off}/correction", {"reason": "Once more"})
    assert "corrected already" in ben.read(f"{path}/account/lines/{off}")


def test_voiding_asks_first_and_waits_for_who_is_paying(app: Flask, ben: Visitor, nell: UUID) -> None:
    sent, other = made(app, nell, 5000), made(app, nell, 300)
    path = f"{HOME}/patients/{nell}/invoices"
    assert "This cannot be undone" in ben.read(f"{path}/{sent}/voiding")
    assert ben.post(f"{path}/{sent}/voiding", {"reason": ""}).status_code == 422
    assert ben.post(f"{path}/{sent}/voiding", {"reason": "Billed twice"}).status_code == 303
    assert "Billed twice" in ben.read(f"{path}/{sent}")
    with inside(app, demo.ELM):
        being_paid(other, nell, 300, PaymentStatus.PROCESSING)
    ben.post(f"{path}/{other}/voiding", {"reason": "Billed twice"})
    page = ben.read(f"{path}/{other}")
    assert "being paid online right now" in page and "Void this invoice" in page
    paying = f"{HOME}/patients/{nell}/account/payments/new"
    ben.get(paying)
    form = {"method": "cash", "amount": "3", "dated_on": "2026-02-28", "towards": str(other)}
    answer = ben.post(paying, form)
    assert (answer.status_code, "being paid online right now" in answer.text) == (422, True)
    with inside(app, demo.ELM):
        assert invoices.rows_of([other])[other].status == InvoiceStatus.OPEN


def test_an_account_as_of_a_day(app: Flask, ben: Visitor) -> None:
    with inside(app, demo.ELM):
        leo = patient("Leo Lopez").id
    path = f"{HOME}/patients/{leo}/account"
    assert "Nothing was on the account by that day" in ben.read(f"{path}?as_of=2020-01-31")
    assert "Occupational therapy" in ben.read(path)
    answer = ben.get(f"{path}?as_of=not-a-day")
    assert (answer.status_code, "Enter a date such as" in answer.text) == (422, True)


def test_an_admin_sets_how_the_clinic_bills(ana: Visitor) -> None:
    path = f"{HOME}/clinic-options/billing"
    assert "Announced 3 days before" in ana.read(f"{HOME}/clinic-options")
    ana.get(path)
    form = {"allows_partial": "y", "refund_limit": "1,000.00", "autopay_notice_days": "5"}
    assert ana.post(path, form | {"refund_limit": "a lot"}).status_code == 422
    assert ana.post(path, form).status_code == 303
    page = ana.read(f"{HOME}/clinic-options")
    assert "Above $1,000.00 a second person confirms" in page and "Announced 5 days before" in page
    assert "may pay a part" in page
    assert 'value="1000.00"' in ana.read(path)


def test_what_came_too_late_is_said_and_leads_back(app: Flask, ben: Visitor, nell: UUID) -> None:
    sent, path = made(app, nell, 5000), f"{HOME}/patients/{nell}/invoices"
    ben.get(f"{path}/{sent}")
    with inside(app, demo.ELM):
        due = invoices.usual_due_day().isoformat()
        empty = draft(nell, 100)
        only = invoices.lines_on(empty)[0]
        invoices.remove_line(empty, nell, only)
    ben.post(f"{path}/{sent}/issuing", {"due_on": due})
    assert "issued already" in ben.read(f"{path}/{sent}")
    ben.post(f"{path}/{sent}/discarding")
    assert "issued already" in ben.read(f"{path}/{sent}")
    assert "There is nothing on this invoice" in ben.post(f"{path}/{empty}/issuing", {"due_on": due}).text
    assert ben.post(f"{path}/new").status_code == 422
    ben.post(f"{path}/{sent}/voiding", {"reason": "Billed twice"})
    ben.post(f"{path}/{sent}/voiding", {"reason": "Once more"})
    assert "void already" in ben.read(f"{path}/{sent}")
    assert ben.post(f"{path}/{made(app, nell, 10)}/voiding", {"reason": "x" * 161}).status_code == 422


def test_an_invoice_is_not_voided_while_nobody_knows_whether_it_is_paid(
    app: Flask, ben: Visitor, nell: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(_invoice_id: UUID) -> None:
        raise StripeUnknown

    monkeypatch.setattr(payments, "end_checkouts_of", silent)
    sent = made(app, nell, 5000)
    path = f"{HOME}/patients/{nell}/invoices/{sent}"
    ben.get(path)
    ben.post(f"{path}/voiding", {"reason": "Billed twice"})
    assert "Stripe does not answer" in ben.read(path)
    with inside(app, demo.ELM):
        assert invoices.rows_of([sent])[sent].status == InvoiceStatus.OPEN


def test_billing_settings_are_recorded_with_what_was_before(app: Flask, ana: Visitor) -> None:
    path = f"{HOME}/clinic-options/billing"
    ana.get(path)
    for _again in range(2):
        ana.post(path, {"refund_limit": "", "autopay_notice_days": "7"})
    assert recorded(app, "billing_settings.saved") == [{"autopay_notice_days": [3, 7]}]
    with inside(app, demo.ELM), pytest.raises(Refused):
        billing_settings.save(BillingDetails(False, False, None, 15))
