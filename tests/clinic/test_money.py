"""Lost if it fails: a family is billed a hundred times too much, or in a currency they never heard of."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinic.money import Money

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
