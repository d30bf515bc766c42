"""Payment processing: the clinic's own Stripe accounts, the present one and those before it.

Every payment remembers the account it was made on. Which clinic an account is of stands in the directory
(`tenancy.clinics`), because a webhook names the account and not the clinic.

Its one surprise: the clinic takes payments while the present account may charge; balance and invoices stay in sight of
families from the first time it could until its owner takes our access away (`payment_processing_since_at`).
"""

from clinic.payment_processing.reading import read_again
from clinic.payment_processing.rows import AccountEnding, PaymentAccount, find_latest, find_present
from clinic.payment_processing.verbs import Opening, apply, begin, deauthorised, opened, replace

__all__ = [
    "AccountEnding",
    "Opening",
    "PaymentAccount",
    "apply",
    "begin",
    "deauthorised",
    "find_latest",
    "find_present",
    "opened",
    "read_again",
    "replace",
]
