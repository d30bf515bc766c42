"""E-mail addresses: one way to write each, so that equality is enough to find it."""

import re

from email_validator import EmailNotValidError, validate_email
from flask_babel import lazy_gettext as _l

from tenancy.errors import Refused

# Domains people mean when they mistype: the invitation page warns, it does not refuse.
_MISTYPED = re.compile(
    r"@(?:gmial|gmai|gamil|gmal|gnail|gmail\.co|gmaill|hotmial|hotmal|hotnail|yaho|yahooo|yhaoo|outlok|outloo|iclould|icoud)"
    r"\.?(?:com|con|co|cm|net)?$|\.(?:con|cmo|ocm|comm|vom|xom|nte|ogr)$"
)


def normalised(text: str) -> str:
    """Trimmed and lower-cased; the form in every `email_norm` column."""
    return text.strip().lower()


def check_email(text: str, *, field: str = "email") -> str:
    """The address as typed, trimmed. Raises Refused. Never asks the DNS."""
    try:
        found = validate_email(text.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise Refused(_l("Enter an e-mail address like name@example.com."), field=field) from error
    if not found.ascii_email or "=?" in text:
        raise Refused(_l("Enter an e-mail address in plain letters, like name@example.com."), field=field)
    return str(found.normalized)


def looks_mistyped(email_norm: str) -> bool:
    """Whether the domain resembles a common one without being it."""
    return _MISTYPED.search(email_norm) is not None
