"""The forms of second factors, the same for staff and for families."""

from typing import Any

import wtforms
from flask_babel import lazy_gettext as _l

from ui.forms import PasswordField, PorticoForm, required


class CodeField(wtforms.StringField):
    """Digits from an app: a phone shows its number pad and offers a code that it knows."""

    def __init__(self, label: Any = None, validators: Any = None, **kwargs: Any) -> None:
        kwargs["render_kw"] = {"autocomplete": "one-time-code", "inputmode": "numeric", "maxlength": 12}
        super().__init__(label, validators, **kwargs)


class CodeForm(PorticoForm):
    code = CodeField(_l("Six-digit code"), [required(_l("Enter the code that your app shows now."))])


class RecoveryCodeForm(PorticoForm):
    code = wtforms.StringField(
        _l("Recovery code"),
        [required(_l("Enter one of the recovery codes that you kept."))],
        render_kw={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false", "maxlength": 40},
    )


class ConfirmationForm(PorticoForm):
    password = PasswordField(_l("Password"), [required(_l("Enter your password."))])
    code = wtforms.StringField(
        _l("Six-digit code, or a recovery code"),
        [required(_l("Enter the code that your app shows now."))],
        render_kw={"autocomplete": "one-time-code", "autocapitalize": "none", "spellcheck": "false", "maxlength": 40},
    )


class ResetForm(PorticoForm):
    code = CodeField(_l("The clinic's code"), [required(_l("Enter the eight digits that somebody at the clinic told you."))])
    password = PasswordField(_l("New password"), [required(_l("Choose a password."))], is_new=True)


class ButtonForm(PorticoForm):
    """A button."""
