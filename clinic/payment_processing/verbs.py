"""Signing up, and what Stripe says of the account since."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from flask_babel import lazy_gettext as _l
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from clinic import actors, audit, staff
from clinic.payment_processing.rows import AccountEnding, PaymentAccount, find_present
from clinic.stripe_gateway import AccountFacts
from mail import letters, outbox
from tenancy import clinics, clock, provisioning, tenant
from tenancy.clinics import ClinicPaymentAccount, Plan
from tenancy.database import db, locked
from tenancy.errors import Conflict, Refused


@dataclass(frozen=True)
class Opening:
    """What Stripe is to be asked for: an account under this key, unless the clinic has one."""

    key: str
    payee: str
    account_id: str | None


def begin() -> Opening:
    """Raises Refused without the Billing plan."""
    clinic = clinics.current()
    if clinic.plan != Plan.BILLING:
        raise Refused(_l("Payment processing needs the Billing plan. Ask whoever runs this portal for you to change the plan."))
    present = find_present()
    had = db.session.scalars(select(func.count()).select_from(PaymentAccount)).one()
    # The same until an account is kept, so that a crash between making and keeping one does not make two. The name is
    # part of it, because a key goes with one request to the letter.
    key = f"account-{clinic.id}-{had}-{sha256(clinic.name.encode()).hexdigest()[:8]}"
    return Opening(key, clinic.name, present.account_id if present else None)


def opened(account_id: str) -> str:
    """Keep the account that Stripe made; returns the present one. Twice, or two Admins at once, keep one."""
    now, own = clock.now(), {"clinic_id": tenant.current_clinic_id(), "account_id": account_id}
    db.session.execute(insert(ClinicPaymentAccount).values(own).on_conflict_do_nothing())
    kept = {"charges_enabled": False, "payouts_enabled": False, "details_submitted": False, "due": [], "opened_at": now}
    opening = insert(PaymentAccount).values(own | kept | {"read_at": now, "opened_by_id": actors.current().id})
    made = db.session.scalars(opening.on_conflict_do_nothing().returning(PaymentAccount.id)).one_or_none()
    if made:
        audit.record("payment_account.begun", subject_id=made, account=account_id)
    present = find_present()
    if present is None:
        raise Conflict(_l("Stripe answered with an account that was ended here before. Press the button again."))
    return present.account_id


def apply(facts: AccountFacts, asked_at: datetime) -> None:
    """Write what Stripe said when it was asked at that instant, unless it was asked later already or the account ended."""
    account = _held(facts.account_id)
    if account is None or account.ended_at or asked_at < account.read_at:
        return
    could_charge, account.read_at = account.charges_enabled, asked_at
    account.charges_enabled, account.payouts_enabled = facts.charges_enabled, facts.payouts_enabled
    account.details_submitted, account.due = facts.details_submitted, list(facts.due)
    account.disabled_reason = facts.disabled_reason
    db.session.flush()
    if account.charges_enabled and not could_charge:
        _enable(account)
    elif could_charge and not account.charges_enabled:
        audit.record("payment_account.restricted", subject_id=account.id, reason=account.disabled_reason)
        _tell_admins(letters.PaymentsPaused)


def deauthorised(account_id: str) -> None:
    """Its owner took our access away: nobody can pay any more, and the clinic may begin anew."""
    account = _held(account_id)
    if account is None or account.ended_at:
        return
    _end(account, AccountEnding.DEAUTHORISED)
    if clinics.current().payment_processing_is_on:
        provisioning.set_payment_processing(False)
    audit.record("payment_account.deauthorised", subject_id=account.id, account=account_id)
    _tell_admins(letters.PaymentsDisconnected)


def replace() -> None:
    """Leave the present account, so that another can be opened. What was paid on it stays on it. Raises Conflict.

    Balance and invoices stay in sight; Pay comes back with the next account.
    """
    present = find_present()
    account = _held(present.account_id) if present else None
    if account is None or account.ended_at:
        raise Conflict(_l("There is no Stripe account to leave any more."))
    _end(account, AccountEnding.REPLACED)
    audit.record("payment_account.replaced", subject_id=account.id, account=account.account_id)


def _held(account_id: str) -> PaymentAccount | None:
    return db.session.scalars(locked(select(PaymentAccount).where(PaymentAccount.account_id == account_id))).one_or_none()


def _end(account: PaymentAccount, ending: AccountEnding) -> None:
    account.ended_at, account.ending, account.charges_enabled = clock.now(), ending, False
    db.session.flush()


def _enable(account: PaymentAccount) -> None:
    if not clinics.current().payment_processing_is_on:
        provisioning.set_payment_processing(True)
    audit.record("payment_account.enabled", subject_id=account.id)
    _tell_admins(letters.PaymentsOn)


def _tell_admins(kind: type[letters.PaymentsOn | letters.PaymentsPaused | letters.PaymentsDisconnected]) -> None:
    for admin in staff.admins():
        outbox.post(kind(to=admin.addressee))
