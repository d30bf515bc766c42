"""Lost if it fails: a family is billed a hundred times too much, or in a currency they never heard of."""

import pytest
from babel import Locale
from flask import Flask
from flask_babel import force_locale
from hypothesis import given, settings
from hypothesis import strategies as st

from clinic import money
from clinic.money import Money
from tenancy.errors import Refused

CURRENCIES = st.sampled_from(["usd", "jpy", "kwd"])
LANGUAGES = st.sampled_from(["en", "es"])
MINOR = st.integers(-(10**14), 10**14)


@pytest.mark.parametrize(
    ("minor", "currency", "plain"),
    [(1234, "usd", "12.34"), (5, "usd", "0.05"), (-5, "usd", "-0.05"), (0, "usd", "0.00"), (1234, "jpy", "1234"), (-7, "jpy", "-7"),
     (1234, "kwd", "1.234"), (-1, "kwd", "-0.001"), (100, "eur", "1.00")],
)  # fmt: skip
def test_minor_units_are_written_as_the_currency_has_them(minor: int, currency: str, plain: str) -> None:
    assert Money(minor, currency).plain == plain


@settings(deadline=None)
@given(MINOR, st.sampled_from(["usd", "jpy", "kwd"]))
def test_writing_loses_nothing(minor: int, currency: str) -> None:
    money = Money(minor, currency)
    assert int(money.plain.replace(".", "")) == minor


@settings(deadline=None)
@given(MINOR, MINOR)
def test_adding_and_taking_away_is_exact(one: int, other: int) -> None:
    assert (Money(one, "usd") + Money(other, "usd") + -Money(other, "usd")).minor == one


def test_two_currencies_are_never_added() -> None:
    with pytest.raises(ValueError, match="do not add up"):
        Money(1, "usd") + Money(1, "eur")


def test_an_amount_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Money(1, "usd").minor = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("minor", "currency", "language", "written"),
    [(123450, "usd", "en", "$1,234.50"), (123450, "usd", "es", "1.234,50 US$"), (1234, "jpy", "en", "¥1,234"),
     (1234, "kwd", "en", "KWD1.234"), (1230, "kwd", "es", "1,230 KWD"), (-5, "usd", "en", "-$0.05"),
     (1234, "isk", "en", "ISK12.34")],
)  # fmt: skip
def test_people_read_all_of_an_amount(minor: int, currency: str, language: str, written: str) -> None:
    assert Money(minor, currency).written(Locale(language)).replace("\u00a0", " ") == written


@pytest.mark.parametrize(
    ("typed", "currency", "minor"),
    [("12", "usd", 1200), ("1000.5", "usd", 100050), ("1,000.00", "usd", 100000), (" $ 1,000.00 ", "usd", 100000), ("USD 7", "usd", 700),
     ("12,50", "usd", 1250), (".50", "usd", 50), ("1,000", "usd", 100000), ("0012", "usd", 1200), ("1,234", "jpy", 1234), ("¥500", "jpy", 500),
     ("1.234", "kwd", 1234), ("1.5", "kwd", 1500), ("999,999.99", "usd", 99999999)],
)  # fmt: skip
def test_an_amount_is_read_as_it_was_meant(app: Flask, typed: str, currency: str, minor: int) -> None:
    with app.app_context():
        assert money.read(typed, currency) == Money(minor, currency)


@pytest.mark.parametrize(
    ("typed", "minor"),
    [("1.000,00", 100000), ("1000,5", 100050), ("12,50", 1250), ("12.50", 1250), ("1.000", 100000), ("12 US$", 1200), ("$12", 1200)],
)
def test_in_spanish_a_comma_stands_before_the_cents(app: Flask, typed: str, minor: int) -> None:
    with app.test_request_context(), force_locale("es"):
        assert money.read(typed, "usd") == Money(minor, "usd")


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize(
    "typed",
    ["", "0", "0.00", "0.005", "-5", "1e309", "1e2", "NaN", "Infinity", "12.345.678,9.1", "1,00,000", "1.2.3", "12 or so", "1_000", "٣",
     "1" * 400, "0x10", "1/2", "1,000.000", "\0", "+5", "--", ".", ","],
)  # fmt: skip
def test_what_is_no_amount_is_refused(app: Flask, language: str, typed: str) -> None:
    with app.test_request_context(), force_locale(language), pytest.raises(Refused):
        money.read(typed, "usd")


@pytest.mark.parametrize(("typed", "currency"), [("1.5", "jpy"), ("1.00", "jpy"), ("1.2345", "kwd"), ("1,000,000.00", "usd"), ("100000000", "jpy")])
def test_what_the_currency_has_not_and_what_is_too_much_is_refused(app: Flask, typed: str, currency: str) -> None:
    with app.app_context(), pytest.raises(Refused):
        money.read(typed, currency)


def test_whatever_is_put_into_a_field_is_read_back(app: Flask) -> None:
    @settings(deadline=None)
    @given(st.integers(1, money.MOST_MINOR), CURRENCIES, LANGUAGES)
    def holds(minor: int, currency: str, language: str) -> None:
        with app.test_request_context(), force_locale(language):
            amount = Money(minor, currency)
            assert money.read(amount.typed(), currency) == amount
            assert money.read(amount.written(), currency) == amount

    holds()


def test_no_text_is_read_as_another_amount_than_its_figures(app: Flask) -> None:
    """Whatever is typed: it is refused, or it has exactly the figures that were typed."""

    @settings(deadline=None)
    @given(st.text("0123456789.,-+eE $"), CURRENCIES, LANGUAGES)
    def holds(typed: str, currency: str, language: str) -> None:
        with app.test_request_context(), force_locale(language):
            try:
                read = money.read(typed, currency)
            except Refused:
                return
        figures = "".join(each for each in typed if each.isdigit()).lstrip("0")
        assert str(read.minor).rstrip("0") == figures.rstrip("0")
        assert 0 < read.minor <= money.MOST_MINOR

    holds()


def test_what_stripe_takes() -> None:
    assert Money(1234, "usd").fits_stripe and Money(1230, "kwd").fits_stripe and not Money(1234, "kwd").fits_stripe


def test_a_sum_has_a_currency_also_of_nothing() -> None:
    assert money.total([], "usd") == Money(0, "usd")
    assert money.total([Money(2, "usd"), Money(3, "usd")], "usd") - Money(1, "usd") == Money(4, "usd")
