"""Payment processing: the clinic's own Stripe accounts, the present one and those before it.

Every payment remembers the account it was made on. Which clinic an account is of stands in the directory
(`tenancy.clinics`), because a webhook names the account and not the clinic.
"""

from clinic.payment_processing.rows import (
    AccountEnding,
    PaymentAccount,
    find_present,
)

__all__ = [
    "AccountEnding",
    "PaymentAccount",
    "find_present",
]
