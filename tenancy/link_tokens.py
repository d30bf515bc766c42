"""The secret in a mailed link, and where the link leads.

A token is HMAC-SHA256 over purpose and link id under a key of the clinic: 256 bits that nobody without the key can
guess, that the worker can make again when it writes the letter, and that therefore need not be stored anywhere. The
database keeps SHA-256 of the token only.
"""

import base64
from enum import StrEnum
from hashlib import sha256
from uuid import UUID

from tenancy import keys
from tenancy.settings import Settings
from tenancy.sites import LINK_PATH, admin_url, portal_url

KEY_PURPOSE = "mailed-links"


class Purpose(StrEnum):
    """What a mailed link is good for; also the word in its address."""

    INVITATION = "invitation"
    PASSWORD_RESET = "password-reset"
    STAFF_INVITATION = "staff-invitation"
    STAFF_PASSWORD_RESET = "staff-password-reset"
    SIGN_IN_RESET = "sign-in-reset"
    STAFF_SIGN_IN_RESET = "staff-sign-in-reset"
    EMAIL_CHANGE = "email-change"
    STAFF_EMAIL_CHANGE = "staff-email-change"
    REPLY_TO = "reply-to"
    INVOICE = "invoice"


ON_ADMIN_HOST = frozenset(
    {
        Purpose.STAFF_INVITATION,
        Purpose.STAFF_PASSWORD_RESET,
        Purpose.STAFF_SIGN_IN_RESET,
        Purpose.STAFF_EMAIL_CHANGE,
        Purpose.REPLY_TO,
    }
)


def message(purpose: Purpose, link_id: UUID) -> bytes:
    """What is signed; `clinic/invitations.py` builds the same bytes in SQL for thousands at once."""
    return f"{purpose}:{link_id}".encode()


def token(key: bytes, purpose: Purpose, link_id: UUID) -> str:
    """43 characters of URL-safe base64. `key` is `keys.signing_key(KEY_PURPOSE)`."""
    return base64.urlsafe_b64encode(keys.digest(key, message(purpose, link_id))).rstrip(b"=").decode()


def token_hash(text: str) -> bytes:
    """SHA-256 of the 32 bytes behind a token; of anything else, a hash that no link has."""
    try:
        raw = base64.b64decode(text + "=", altchars=b"-_")
    except (ValueError, UnicodeError):
        raw = b""
    canonical = len(raw) == 32 and base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == text
    return sha256(raw if canonical else b"not a token").digest()


def address(settings: Settings, slug: str, purpose: Purpose, text: str) -> str:
    """The link itself, on the clinic's present address and never on the one a request came to."""
    path = f"{LINK_PATH}{purpose}/{text}"
    return admin_url(settings, slug, path) if purpose in ON_ADMIN_HOST else portal_url(settings, slug, path)
