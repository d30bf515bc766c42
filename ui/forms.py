"""The form every page's form inherits, and the fields they share.

A form turns strings into values and checks their shape. Rules that need the database live in the verbs;
when a verb refuses, `form.refuse(refusal)` puts its sentence at the field it belongs to.
"""

import unicodedata
from enum import StrEnum
from typing import Any

import email_validator
import wtforms
from flask import request
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms.validators import AnyOf, DataRequired, InputRequired, Length, ValidationError

from tenancy.errors import PorticoError
from tenancy.languages import NAMES

LONGEST_PASSWORD = 1024


def tidy(value: Any) -> Any:
    """Text as a person meant it: composed accents, no control characters (PostgreSQL refuses NUL), no edge blanks."""
    if not isinstance(value, str):
        return value
    kept = (c for c in unicodedata.normalize("NFC", value) if c in "\n\r\t" or unicodedata.category(c) != "Cc")
    return "".join(kept).strip()


class PorticoForm(FlaskForm):
    """Tidies every text field except passwords, which are taken as typed."""

    class Meta(FlaskForm.Meta):
        def bind_field(self, form: wtforms.Form, unbound_field: Any, options: dict[str, Any]) -> wtforms.Field:
            kind = unbound_field.field_class
            if issubclass(kind, wtforms.StringField) and not issubclass(kind, wtforms.PasswordField):
                options["filters"] = [tidy, *unbound_field.kwargs.get("filters", ())]
            return unbound_field.bind(form=form, **options)

        def wrap_formdata(self, form: wtforms.Form, formdata: Any) -> Any:
            """A page sends text. JSON, whose values may be of any kind, is no form and counts as an empty one."""
            is_sent = formdata is not None  # None: the page's other form was
            return super().wrap_formdata(form, request.form if is_sent and request.is_json else formdata)

    def refuse(self, refusal: PorticoError) -> None:
        """Show a domain refusal at the field it names, or above the form if it names none of ours."""
        named = self._fields.get(refusal.field or "")
        if named is None:
            self.form_errors = [*self.form_errors, refusal.message]
        else:
            named.errors = [*named.errors, refusal.message]


def required(message: Any) -> DataRequired:
    """The field must hold something; `message` is an instruction ("Enter the clinic's name.")."""
    return DataRequired(message=message)


def chosen(message: Any) -> InputRequired:
    """One of the choices must be taken."""
    return InputRequired(message=message)


def one_of(words: type[StrEnum], message: Any) -> AnyOf:
    """One of an enum's words; anything else, and nothing, is told `message`."""
    return AnyOf([word.value for word in words], message=message)


def at_most(characters: int) -> Length:
    return Length(max=characters, message=_l("Use at most %(max)d characters."))


class LinesField(wtforms.TextAreaField):
    """Several lines; a line ends in one character, as the browser counts it, and not in the two it sends."""

    def process_formdata(self, valuelist: list[str]) -> None:
        super().process_formdata([each.replace("\r\n", "\n") for each in valuelist])


class EmailField(wtforms.EmailField):
    """One address, checked for its shape only: whether it takes mail is found out by writing to it."""

    def __init__(self, label: Any = None, validators: Any = None, **kwargs: Any) -> None:
        kwargs["render_kw"] = {
            "autocomplete": "email",
            "autocapitalize": "none",
            "spellcheck": "false",
            **kwargs.get("render_kw", {}),
        }
        super().__init__(label, validators, **kwargs)

    def pre_validate(self, form: wtforms.Form) -> None:
        if not self.data:
            return
        try:
            email_validator.validate_email(self.data, check_deliverability=False, test_environment=True)
        except email_validator.EmailNotValidError as error:
            raise ValidationError(_l("Enter an e-mail address such as name@example.com.")) from error


class PasswordField(wtforms.PasswordField):
    """A password, exactly as typed. `is_new` tells password managers to offer one."""

    def __init__(self, label: Any = None, validators: Any = None, *, is_new: bool = False, **kwargs: Any) -> None:
        kwargs["render_kw"] = {
            "autocomplete": "new-password" if is_new else "current-password",
            "autocapitalize": "none",
            "spellcheck": "false",
            **kwargs.get("render_kw", {}),
        }
        super().__init__(label, validators, **kwargs)

    def pre_validate(self, form: wtforms.Form) -> None:
        if self.data and len(self.data) > LONGEST_PASSWORD:
            raise ValidationError(_l("Use a shorter password."))


class LanguageField(wtforms.SelectField):
    """One of the languages, each in its own words."""

    def __init__(self, label: Any = None, validators: Any = None, **kwargs: Any) -> None:
        choices = [wtforms.SelectChoice(each.value, name) for each, name in NAMES.items()]
        super().__init__(label, validators, choices=choices, **kwargs)


class DateField(wtforms.DateField):
    """A day, sent by the browser's own date picker as YYYY-MM-DD."""

    def process_formdata(self, valuelist: list[str]) -> None:
        try:
            super().process_formdata(valuelist)
        except ValueError as error:
            raise ValueError(_l("Enter a date such as 2019-03-31.")) from error
