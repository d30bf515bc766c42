"""Asking Stripe what it says of the account now. Whoever hears of a change, or suspects one, asks; nobody is believed."""

import logging
from datetime import timedelta

from clinic import stripe_gateway
from clinic.payment_processing import verbs
from clinic.payment_processing.rows import PaymentAccount, find_present
from clinic.stripe_gateway import NO_SUCH_ACCOUNT, AccountFacts, StripeFault, StripeRefused
from tenancy import clock, jobs
from tenancy.database import transaction
from tenancy.tenant import Role

OFTEN, SELDOM = timedelta(minutes=10), timedelta(hours=1)
SIGNING_UP = timedelta(days=2)  # so long after an account was opened, something may change at any moment
log = logging.getLogger(__name__)


def read_again(account_id: str, *, is_said_to_have_left: bool = False) -> None:
    """Read an account of the open clinic and write what Stripe says. Raises StripeUnknown, StripeRefused.

    An account that we may not read any more takes no payments. It is ended for good only where Stripe said so, too
    (`is_said_to_have_left`): a wrong key of the installation's would otherwise end every clinic's.
    """
    asked_at = clock.now()
    try:
        facts = stripe_gateway.read_account(account_id)
    except StripeRefused as refused:
        if refused.code != NO_SUCH_ACCOUNT:
            raise
        with transaction():
            if is_said_to_have_left:
                verbs.deauthorised(account_id)
            else:
                verbs.apply(AccountFacts(account_id, False, False, False, (), NO_SUCH_ACCOUNT), asked_at)
        return
    with transaction():
        verbs.apply(facts, asked_at)


@jobs.every_clinic("clinic.read_payment_account", "*/10 * * * *", Role.STAFF)
def read_in_turn() -> None:
    """Enough by itself, should no webhook ever arrive."""
    if not stripe_gateway.is_connected():
        return
    with transaction():
        present = find_present()
        account_id = present.account_id if present and _is_due(present) else None
    if account_id:
        try:
            read_again(account_id)
        except StripeFault as fault:
            log.warning("Stripe account %s could not be read: %s", account_id, fault)


def _is_due(account: PaymentAccount) -> bool:
    now = clock.now()
    is_signing_up = not account.charges_enabled and now - account.opened_at < SIGNING_UP
    return now - account.read_at > (OFTEN if is_signing_up else SELDOM) - timedelta(minutes=1)
