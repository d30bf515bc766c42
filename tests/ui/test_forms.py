"""The form every page's form inherits."""

from collections.abc import Iterator

import pytest
import wtforms
from flask import Flask, render_template_string
from werkzeug.datastructures import MultiDict

from tenancy.errors import Refused
from ui import forms, pages


class Joining(forms.PorticoForm):
    name = wtforms.StringField("Name", [forms.required("Enter a name.")])
    email = forms.EmailField("E-mail")
    password = forms.PasswordField("Password")
    born_on = forms.DateField("Birth date", [wtforms.validators.Optional()])


@pytest.fixture(autouse=True)
def a_request() -> Iterator[None]:
    app = Flask("formed", static_folder=None)
    app.config.update(SECRET_KEY="only for these tests, thirty-two and more", WTF_CSRF_ENABLED=False)
    pages.install(app)
    with app.test_request_context():
        yield


def filled(**values: str) -> Joining:
    return Joining(MultiDict({"name": "Maria", **values}))


def test_text_is_tidied_and_passwords_are_not() -> None:
    form = filled(name="  Mari\x00a Jose\u0301 ", password=" two  blanks ")
    assert form.name.data == "Maria José"
    assert form.password.data == " two  blanks "


@pytest.mark.parametrize(
    "text", ["nonsense", "a@b", "a b@example.com", "=?utf-8?q?x?=@", "a@example.com, b@example.com"]
)
def test_an_address_must_look_like_one(text: str) -> None:
    form = filled(email=text)
    assert not form.validate()
    assert form.email.data == text


@pytest.mark.parametrize("text", ["", "maria@example.com", "ana@elm.test", " josé@exämple.com "])
def test_an_address_may_be_any_that_mail_allows(text: str) -> None:
    assert filled(email=text).validate()


def test_a_day_that_is_none_is_explained() -> None:
    form = filled(born_on="31.02.2019")
    assert not form.validate()
    assert "2019-03-31" in str(form.born_on.errors[0])


def test_a_refusal_stands_at_its_field() -> None:
    form = filled()
    form.refuse(Refused("That name is taken.", field="name"))
    form.refuse(Refused("The clinic is closed."))
    assert form.name.errors == ["That name is taken."]
    assert form.form_errors == ["The clinic is closed."]
    page = render_template_string(
        '{% import "ui/components.html" as ui %}{% call ui.form(f) %}{{ ui.field(f.name) }}{% endcall %}', f=form
    )
    assert '<a href="#name">That name is taken.</a>' in page
    assert "<li>The clinic is closed.</li>" in page
    assert 'aria-describedby="name-error"' in page
    assert 'value="Maria"' in page


def test_what_was_typed_is_escaped() -> None:
    page = render_template_string(
        '{% import "ui/components.html" as ui %}{{ ui.field(f.name, hint=h) }}', f=filled(name='"><b>'), h="<i>"
    )
    assert "<b>" not in page
    assert "<i>" not in page
