"""A letter's words: subject, text and HTML, from templates/mail/<kind>/ and the clinic's present name and address."""

import re
from dataclasses import dataclass
from typing import Any

from flask import current_app, render_template
from flask_babel import force_locale

from mail.letterhead import Letterhead
from mail.letters import Letter, LinkLetter
from tenancy import keys, link_tokens
from tenancy.clinics import ClinicEntry
from tenancy.languages import Language
from tenancy.settings import Settings
from tenancy.sites import admin_url, portal_url

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True)
class Page:
    """What goes on the wire, less its envelope."""

    subject: str
    text: str
    html: str
    reply_to: str | None


def written(letter: Letter, clinic: ClinicEntry, letterhead: Letterhead, signing_key: bytes) -> Page:
    """Write a letter of the open clinic in its addressee's language. `signing_key` is the clinic's key for mailed links."""
    settings: Settings = current_app.config["PORTICO"]
    values: dict[str, Any] = {
        "letter": letter,
        "clinic": clinic,
        "portal_url": portal_url(settings, clinic.slug),
        "admin_url": admin_url(settings, clinic.slug),
    }
    if isinstance(letter, LinkLetter):
        secret = link_tokens.token(signing_key, letter.purpose, letter.link_id)
        values["link"] = link_tokens.address(settings, clinic.slug, letter.purpose, secret)
    return page(letter.kind, values, reply_to=letterhead.reply_to_in_use, language=letter.to.language)


def page(kind: str, values: dict[str, Any], *, reply_to: str | None = None, language: str = Language.ENGLISH) -> Page:
    """Render one kind's three templates."""
    with force_locale(language):
        return Page(
            subject=header(render_template(f"mail/{kind}/subject.txt", **values)),
            text=render_template(f"mail/{kind}/body.txt", **values).strip() + "\n",
            html=render_template(f"mail/{kind}/body.html", lang=language, **values),
            reply_to=reply_to,
        )


def header(text: str) -> str:
    """Text fit for a header: no control characters, and no encoded word that an old parser would unfold."""
    return _CONTROL.sub(" ", text).replace("=?", "= ?").strip()


def signing_key() -> bytes:
    """The open clinic's key for mailed links."""
    return keys.signing_key(link_tokens.KEY_PURPOSE)
