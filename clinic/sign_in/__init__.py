"""Signing in and what it rests on: passwords, second factors, and resetting either.

Shaped in steps; each is a verb that takes the session before it and gives the token of the next. Who is signed in but not
all the way (`Stage`) is held back by the faces' guards, before any view.
"""

from clinic.sign_in.factors import (
    FactorChange,
    Offer,
    add_authenticator,
    factor_added,
    offer_authenticator,
    remove_authenticator,
    renew_codes,
)
from clinic.sign_in.passkeys import (
    WRONG_PASSKEY,
    add_passkey,
    by_passkey,
    confirm_by_passkey,
    passkey_account,
    remove_passkey,
    show_passkey,
)
from clinic.sign_in.passwords import (
    accept_staff_invitation,
    account_of,
    ask_for_reset,
    change_password,
    look,
    mail_reset,
    mail_staff_reset,
    reset,
)
from clinic.sign_in.resets import OpenReset, Reset
from clinic.sign_in.resets import carry_out as carry_out_reset
from clinic.sign_in.resets import find_open as find_open_reset
from clinic.sign_in.resets import start as start_reset
from clinic.sign_in.resets import wrong_code as wrong_reset_code
from clinic.sign_in.steps import (
    NOT_CONFIRMED,
    WRONG,
    WRONG_CODES,
    SignIn,
    asks_code,
    confirm,
    factor_shown,
    is_required,
    portal_user,
    show_code,
    sign_out,
    staff_member,
    stage_of,
)

__all__ = [
    "NOT_CONFIRMED",
    "WRONG",
    "WRONG_CODES",
    "WRONG_PASSKEY",
    "FactorChange",
    "Offer",
    "OpenReset",
    "Reset",
    "SignIn",
    "accept_staff_invitation",
    "account_of",
    "add_authenticator",
    "add_passkey",
    "ask_for_reset",
    "asks_code",
    "by_passkey",
    "carry_out_reset",
    "change_password",
    "confirm",
    "confirm_by_passkey",
    "factor_added",
    "factor_shown",
    "find_open_reset",
    "is_required",
    "look",
    "mail_reset",
    "mail_staff_reset",
    "offer_authenticator",
    "passkey_account",
    "portal_user",
    "remove_authenticator",
    "remove_passkey",
    "renew_codes",
    "reset",
    "show_code",
    "show_passkey",
    "sign_out",
    "staff_member",
    "stage_of",
    "start_reset",
    "wrong_reset_code",
]
