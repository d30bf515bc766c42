"""Passkeys as pages handle them, the same for staff and for families: the challenge in the cookie, the form, the answer."""

import wtforms
from flask import Response, session
from flask_babel import lazy_gettext as _l

from ui.forms import PorticoForm, at_most, required

CHALLENGE = "passkey"  # in the cookie


class PasskeyForm(PorticoForm):
    """What the script sends when a device has answered."""

    answer = wtforms.HiddenField()


class NewPasskeyForm(PasskeyForm):
    name = wtforms.StringField(
        _l("Name of this passkey"),
        [required(_l("Give this passkey a name, so that you know it again.")), at_most(60)],
        render_kw={"autocomplete": "off", "maxlength": 60},
    )


class PasskeyNameForm(PorticoForm):
    name = wtforms.StringField(
        _l("Name of this passkey"),
        [required(_l("Give this passkey a name, so that you know it again.")), at_most(60)],
        render_kw={"autocomplete": "off", "maxlength": 60},
    )


def ask(challenge: str, options: str) -> Response:
    """Hand the options to the page's script, and note in the cookie what must be answered."""
    session[CHALLENGE] = challenge
    return Response(options, mimetype="application/json")


def asked() -> object:
    """The challenge that this browser was given last. It is given up with the first answer, right or wrong."""
    return session.pop(CHALLENGE, None)
