"""Passkeys (WebAuthn): a key that a person's own device keeps and uses only once it has recognised them.

A passkey is good at one host and in one clinic. The host is the relying party, exactly; at the staff's host, which all
clinics share, the key is made for the clinic's own user handle, and its row is found inside the open clinic only.

A challenge lives in the browser's signed cookie for five minutes and for one purpose. Its one surprise: nothing is written
when it is issued. Each passkey remembers when the last challenge that it answered was issued, and answers no earlier one
and not that one again, so that an answer, a cookie, or both together are worth nothing a second time.
"""

from clinic.passkeys.ceremonies import LONGEST_ANSWER, MOST, Offer, add, find_holder, named_in, offer, offer_new, show
from clinic.passkeys.challenges import LASTS, Challenge, Purpose, RelyingParty, relying_party
from clinic.passkeys.challenges import read as read_challenge
from clinic.passkeys.rows import (
    LONGEST_NAME,
    Passkey,
    PasskeyRow,
    count,
    get,
    how_many,
    of_holder,
    remove,
    remove_all,
    rename,
    work_at,
)

__all__ = [
    "LASTS",
    "LONGEST_ANSWER",
    "LONGEST_NAME",
    "MOST",
    "Challenge",
    "Offer",
    "Passkey",
    "PasskeyRow",
    "Purpose",
    "RelyingParty",
    "add",
    "count",
    "find_holder",
    "get",
    "how_many",
    "named_in",
    "of_holder",
    "offer",
    "offer_new",
    "read_challenge",
    "relying_party",
    "remove",
    "remove_all",
    "rename",
    "show",
    "work_at",
]
