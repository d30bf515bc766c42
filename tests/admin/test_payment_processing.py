"""Signing up for payment processing, on Stripe's pages and back.

Lost if they fail: a clinic's money goes to an account that is not its own, families are shown a button that takes no
payment, or a clinic learns from an angry family that Stripe stopped its payments a week ago.
"""

import urllib.error
import urllib.parse
import urllib.request
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text

from admin_app import stripe_words
from clinic import demo, payment_processing
from clinic.audit import AuditEntry
from clinic.payment_processing import AccountEnding, PaymentAccount, reading
from clinic.stripe_gateway import AccountFacts, StripeUnknown, line
from tenancy import clinics, clock, provisioning
from tenancy.clinics import ClinicEntry, Plan
from tenancy.database import db, transaction
from tenancy.errors import Conflict
from tenancy.tenant import Role
from tests.inside import acting, inside, letters, written
from tests.stripe_fake.client import StripeFake
from tests.visitor import Visitor

PAGE = f"/{demo.ELM}/payment-processing"


@pytest.fixture(autouse=True)
def _not_signed_up(app: Flask) -> None:
    """As Elm Street is before it signs up."""
    with inside(app, demo.ELM):
        provisioning.set_payment_processing(False)


def accounts(app: Flask) -> list[PaymentAccount]:
    with inside(app, demo.ELM):
        return list(db.session.scalars(select(PaymentAccount).order_by(PaymentAccount.opened_at)))


def is_on(app: Flask) -> bool:
    with inside(app, demo.ELM) as clinic:
        return clinic.payment_processing_is_on


def events(app: Flask) -> list[str]:
    with inside(app, demo.ELM):
        found = select(AuditEntry.event).where(AuditEntry.event.startswith("payment_account.")).order_by(AuditEntry.at)
        return list(db.session.scalars(found))


def told(app: Flask) -> list[str]:
    """Kinds of the letters about payments, each to Ana."""
    found = [each for each in letters(app, demo.ELM) if each.kind.startswith("payments_")]
    assert {each.to_address for each in found} <= {"ana@elm.example"}
    return [each.kind for each in found]


def browse(url: str, form: dict[str, str] | None = None) -> tuple[str, str]:
    """On Stripe's pages: the address where it ended, without following a way back to ours, and the page."""
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    data = urllib.parse.urlencode(form).encode() if form else None
    try:
        with urllib.request.build_opener(Stay).open(url, data) as answer:
            return url, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.headers["Location"], ""


def sign_up(ana: Visitor) -> str:
    """Press the button; the address of Stripe's page."""
    ana.get(PAGE)
    answer = ana.post(f"{PAGE}/sign-up")
    assert answer.status_code == 303
    return answer.headers["Location"]


def come_back(ana: Visitor) -> str:
    """Press the button of the page that Stripe leads back to; the page after it."""
    ana.read(f"{PAGE}/return")
    assert ana.post(f"{PAGE}/reading").status_code == 303
    return ana.read(PAGE)


def signed_up(ana: Visitor) -> str:
    """The account's id."""
    browse(url := sign_up(ana))
    browse(url, {"told": "everything"})
    come_back(ana)
    [account] = [each for each in accounts(ana.app) if each.ended_at is None]
    return account.account_id


# The way through


def test_an_admin_signs_up_on_stripes_pages_and_families_can_pay(
    app: Flask, stripe_standing: StripeFake, ana: Visitor
) -> None:
    assert "Sign Up for Payment Processing" in ana.read(PAGE)
    assert "Show invoices" not in ana.read(f"/{demo.ELM}/clinic-options/portal-settings")
    url = sign_up(ana)
    assert url.startswith(f"{stripe_standing.url}/setup/s/acct_")
    browse(url)
    back, _ = browse(url, {"told": "everything"})
    assert back == f"http://admin.localhost:8000{PAGE}/return"
    assert not is_on(app)
    ana.read(f"{PAGE}/return")
    assert not is_on(app) and not accounts(app)[0].charges_enabled  # coming back proves nothing
    assert "Families can pay online" in come_back(ana)
    [account] = accounts(app)
    assert account.charges_enabled and account.details_submitted and is_on(app) and account.due == []
    assert events(app) == ["payment_account.begun", "payment_account.enabled"] and told(app) == ["payments_on"]
    assert "Show invoices" in ana.read(f"/{demo.ELM}/clinic-options/portal-settings")
    with app.app_context(), transaction():
        found = clinics.find_by_payment_account(account.account_id)
    assert found and found.slug == demo.ELM


def test_what_is_still_due_is_said_in_plain_words(stripe_standing: StripeFake, ana: Visitor) -> None:
    browse(url := sign_up(ana))
    browse(url, {"told": "nearly"})
    page = come_back(ana)
    assert "An identity document" in page and "Continue signing up" in page and "verification" not in page
    assert "Families can pay online" not in page


def test_who_comes_back_without_having_told_anything_goes_on_where_they_left(stripe_standing: StripeFake, ana: Visitor) -> None:
    first = sign_up(ana)
    page = come_back(ana)
    assert "Go on where you left off" in page and "A bank account for the payments" in page
    second = sign_up(ana)
    assert first != second and len(stripe_standing.objects("account")) == 1


def test_a_link_that_was_used_leads_back_to_a_button_for_a_new_one(stripe_standing: StripeFake, ana: Visitor) -> None:
    browse(url := sign_up(ana))
    again, _ = browse(url)
    assert again == f"http://admin.localhost:8000{PAGE}?link=over"
    assert "works only once" in ana.read(f"{PAGE}?link=over")


def test_no_link_to_stripe_is_kept_anywhere(app: Flask, stripe_standing: StripeFake, ana: Visitor) -> None:
    token = sign_up(ana).rpartition("/")[2]
    with inside(app, demo.ELM):
        tables = db.session.scalars(text("SELECT relname FROM pg_class WHERE relname IN ('payment_accounts', 'letters', 'audit_entries')"))
        for table in tables.all():
            assert token not in str(db.session.execute(text(f"SELECT * FROM {table}")).all())


# Who, and when not


def test_without_the_plan_the_page_says_whom_to_ask(app: Flask, stripe_standing: StripeFake, ana: Visitor) -> None:
    with inside(app, demo.ELM, Role.OPERATOR):
        provisioning.set_plan(Plan.CORE)
    page = ana.read(PAGE)
    assert "Billing plan" in page and "Sign Up for Payment Processing</button>" not in page
    ana.read(f"/{demo.ELM}/clinic-options")
    assert ana.post(f"{PAGE}/sign-up").headers["Location"] == PAGE
    assert "needs the Billing plan" in ana.read(PAGE)
    assert stripe_standing.requests() == [] and accounts(app) == []


def test_without_a_key_nobody_is_sent_to_stripe(app: Flask, ana: Visitor) -> None:
    assert "not connected to Stripe" in ana.read(PAGE)
    ana.read(f"/{demo.ELM}/clinic-options")
    assert ana.post(f"{PAGE}/sign-up").headers["Location"] == PAGE
    assert "Stripe did not answer" in ana.read(PAGE)


def test_only_admins_sign_up(stripe_standing: StripeFake, ben: Visitor) -> None:
    assert ben.get(PAGE).status_code == 403
    ben.read(f"/{demo.ELM}/profile")
    assert ben.post(f"{PAGE}/sign-up").status_code == 403


# Crashes, races, silence


def test_a_crash_before_the_account_is_kept_makes_no_second_one(
    app: Flask, stripe_standing: StripeFake, ana: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as crash:
        crash.setattr(payment_processing, "opened", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            sign_up(ana)
    assert accounts(app) == [] and len(stripe_standing.objects("account")) == 1
    sign_up(ana)
    assert [each.account_id for each in accounts(app)] == [each["id"] for each in stripe_standing.objects("account")]


def test_an_answer_that_was_lost_makes_no_second_account(app: Flask, stripe_standing: StripeFake, ana: Visitor) -> None:
    stripe_standing.fault("POST /v1/accounts", "lost", times=2)
    assert sign_up(ana) == PAGE
    assert "Stripe did not answer" in ana.read(PAGE)
    sign_up(ana)
    assert len(stripe_standing.objects("account")) == len(accounts(app)) == 1


def test_two_admins_at_once_keep_one_account(app: Flask, stripe_standing: StripeFake) -> None:
    with inside(app, demo.ELM), acting("ana@elm.example"):
        first, second = payment_processing.begin(), payment_processing.begin()
        assert first == second and first.account_id is None
        assert [payment_processing.opened("acct_1One"), payment_processing.opened("acct_1One")] == ["acct_1One"] * 2
        assert payment_processing.opened("acct_1Two") == "acct_1One"
    assert len(accounts(app)) == 1 and events(app) == ["payment_account.begun"]


def test_when_stripe_refuses_somebody_is_told(app: Flask, stripe_standing: StripeFake, ana: Visitor) -> None:
    app.extensions["stripe_gateway"] = line.Line("sk_test_wrong", stripe_standing.url)
    assert sign_up(ana) == PAGE
    assert "whoever runs this portal" in ana.read(PAGE)


def test_old_news_never_undoes_newer(app: Flask, elm: ClinicEntry) -> None:
    """Two were asked at once; the slower answer is the older."""
    earlier, later = clock.now(), clock.now() + timedelta(seconds=5)
    able, unable = (AccountFacts("acct_1One", can, can, True, (), None) for can in (True, False))
    with inside(app, demo.ELM):
        payment_processing.opened("acct_1One")
        payment_processing.apply(able, later)
        payment_processing.apply(unable, earlier)
        payment_processing.apply(unable, later - timedelta(seconds=1))
    [account] = accounts(app)
    assert account.charges_enabled and told(app) == ["payments_on"]


def test_an_account_that_was_ended_here_does_not_come_back(app: Flask) -> None:
    """Whatever Stripe answers, now or late."""
    with inside(app, demo.ELM):
        payment_processing.opened("acct_1One")
        payment_processing.deauthorised("acct_1One")  # before it ever could charge
        payment_processing.apply(AccountFacts("acct_1One", True, True, True, (), None), clock.now())
        with pytest.raises(Conflict):
            payment_processing.opened("acct_1One")
    assert not is_on(app) and told(app) == ["payments_disconnected"]


def test_news_of_an_account_that_is_not_ours_changes_nothing(app: Flask) -> None:
    with inside(app, demo.ELM):
        payment_processing.apply(AccountFacts("acct_1Other", True, True, True, (), None), clock.now())
        payment_processing.deauthorised("acct_1Other")
    assert accounts(app) == [] and not is_on(app) and told(app) == []


# Restricted, restored, disconnected, replaced


def test_a_restriction_hides_pay_tells_the_admins_once_and_is_lifted(
    app: Flask, stripe_standing: StripeFake, ana: Visitor
) -> None:
    account_id = signed_up(ana)
    stripe_standing.restrict(account_id)
    for _ in range(2):
        page = come_back(ana)
    assert "Nobody can pay online at the moment" in page and "Answer Stripe" in page and "An identity document" in page
    assert not accounts(app)[0].charges_enabled and is_on(app)  # balance and invoices stay in sight
    stripe_standing.onboard(account_id)
    for _ in range(2):
        assert "Families can pay online" in come_back(ana)
    assert told(app) == ["payments_on", "payments_paused", "payments_on"]
    assert events(app)[1:] == ["payment_account.enabled", "payment_account.restricted", "payment_account.enabled"]


def test_a_disconnected_account_ends_and_the_clinic_begins_anew(
    app: Flask, stripe_standing: StripeFake, ana: Visitor
) -> None:
    account_id = signed_up(ana)
    stripe_standing.deauthorise(account_id)
    read(app, account_id, is_said_to_have_left=True)
    read(app, account_id, is_said_to_have_left=True)
    assert accounts(app)[0].ending == AccountEnding.DEAUTHORISED and not is_on(app)
    assert told(app) == ["payments_on", "payments_disconnected"]
    page = ana.read(PAGE)
    assert "was disconnected" in page and "Sign Up for Payment Processing" in page
    anew = signed_up(ana)
    assert anew != account_id and is_on(app)
    with app.app_context(), transaction():  # what was paid on the old one is still this clinic's
        found = clinics.find_by_payment_account(account_id)
    assert found and found.slug == demo.ELM


def read(app: Flask, account_id: str, **said: bool) -> None:
    with app.app_context():
        with transaction():
            clinic = clinics.find_at(demo.ELM)
        assert clinic
        with clinics.open_clinic(clinic):
            payment_processing.read_again(account_id, **said)


def test_an_account_that_cannot_be_read_is_paused_and_not_given_up(
    app: Flask, stripe_standing: StripeFake, ana: Visitor
) -> None:
    """As with a wrong key of the installation's: nothing that cannot be taken back."""
    account_id = signed_up(ana)
    stripe_standing.deauthorise(account_id)
    assert "no longer lets this portal reach the account" in come_back(ana)
    [account] = accounts(app)
    assert account.ended_at is None and not account.charges_enabled and is_on(app)


def test_another_account_takes_the_place_of_the_present_one_on_purpose(
    app: Flask, stripe_standing: StripeFake, ana: Visitor
) -> None:
    account_id = signed_up(ana)
    page = ana.read(f"{PAGE}/replacement")
    assert account_id in page and "stay on it" in page
    assert ana.post(f"{PAGE}/replacement").status_code == 303
    assert "not used any more" in ana.read(PAGE)
    assert accounts(app)[0].ending == AccountEnding.REPLACED and is_on(app)
    assert ana.post(f"{PAGE}/replacement").headers["Location"] == PAGE
    assert "no Stripe account to leave" in ana.read(PAGE)
    assert signed_up(ana) != account_id
    assert [each.ended_at is None for each in accounts(app)] == [False, True]
    stripe_standing.restrict(account_id)
    read(app, account_id)
    assert accounts(app)[1].charges_enabled and "payments_paused" not in told(app)


def test_pages_without_an_account_lead_back(app: Flask, stripe_standing: StripeFake, ana: Visitor) -> None:
    assert ana.get(f"{PAGE}/replacement").headers["Location"] == PAGE
    ana.read(PAGE)
    assert ana.post(f"{PAGE}/reading").status_code == 303
    assert "no Stripe account to ask about" in ana.read(PAGE)


def test_a_silent_stripe_leaves_the_page_as_it_was(app: Flask, stripe_standing: StripeFake, ana: Visitor) -> None:
    signed_up(ana)
    stripe_standing.fault("/v1/accounts/*", "500", times=None)
    page = come_back(ana)
    assert "Stripe did not answer" in page and "Families can pay online" in page
    stripe_standing.clear_faults()
    app.extensions["stripe_gateway"] = line.Line("sk_test_wrong", stripe_standing.url)
    assert "whoever runs this portal" in come_back(ana)


# Without any webhook


def in_turn(app: Flask, later: timedelta) -> None:
    with clock.moved(later), app.app_context():
        with transaction():
            clinic = clinics.find_at(demo.ELM)
        assert clinic
        with clinics.open_clinic(clinic):
            reading.read_in_turn()


def test_with_every_webhook_lost_an_account_is_read_in_turn(app: Flask, stripe_standing: StripeFake, ana: Visitor) -> None:
    browse(url := sign_up(ana))
    browse(url, {"told": "everything"})
    in_turn(app, timedelta(minutes=2))
    assert not is_on(app)
    in_turn(app, timedelta(minutes=10))
    assert is_on(app)
    asked = len(stripe_standing.requests())
    in_turn(app, timedelta(minutes=30))
    assert len(stripe_standing.requests()) == asked  # all is well: once in an hour
    stripe_standing.fault("/v1/accounts/*", "500", times=None)
    in_turn(app, timedelta(minutes=75))
    assert accounts(app)[0].charges_enabled
    stripe_standing.clear_faults()
    stripe_standing.restrict(accounts(app)[0].account_id)
    in_turn(app, timedelta(minutes=80))
    assert not accounts(app)[0].charges_enabled


def test_nobody_is_asked_in_turn_without_an_account_or_a_key(app: Flask, stripe_standing: StripeFake) -> None:
    in_turn(app, timedelta())
    app.extensions["stripe_gateway"] = None
    in_turn(app, timedelta())
    assert stripe_standing.requests() == []
    with pytest.raises(StripeUnknown):
        read(app, "acct_1One")


def test_the_demos_clinic_is_signed_up_at_the_stand_in_once(app: Flask, stripe_standing: StripeFake) -> None:
    for _ in range(2):
        run = app.test_cli_runner().invoke(args=["demo", "sign-up"], catch_exceptions=False)
        assert run.exit_code == 0, run.output
    [account] = accounts(app)
    assert account.charges_enabled and is_on(app) and len(stripe_standing.objects("account")) == 1
    assert len([page for page in written(app, demo.ELM) if "/link/invoice/" in page.text]) == 1


# Words


def test_stripes_words_are_told_in_plain_ones() -> None:
    asked = [
        "external_account", "business_profile.url", "business_profile.mcc", "tos_acceptance.date", "tos_acceptance.ip",
        "person_1Abc.verification.document", "individual.verification.document", "representative.address.city",
        "owners.first_name", "company.tax_id", "something.new",
    ]  # fmt: skip
    said = [str(each) for each in stripe_words.due(asked)]
    assert len(said) == len(set(said)) == 8 and said[-1].startswith("Something else")
    assert not any("_" in each or "." in each for each in said)
    assert stripe_words.disabled(None) is None
    for reason in ("requirements.past_due", "requirements.pending_verification", "rejected.fraud", "under_review", "new_reason"):
        assert "_" not in str(stripe_words.disabled(reason))
