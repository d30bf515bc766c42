"""Money: an integer number of minor units and a currency. Never a float.

`read` makes it of what somebody typed, in the language of the page; `Money.written` puts it into words for one.
"""

import re
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from decimal import Decimal
from functools import total_ordering

from babel import Locale
from babel.numbers import get_currency_symbol, get_decimal_symbol
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from tenancy.errors import Refused

ZERO_DECIMAL = frozenset(["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"])
THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
MOST_MINOR = 99_999_999  # what one payment, charge or discount may come to
LONGEST = 20  # figures
_SPACES = re.compile(r"[\s\u00a0\u202f]")
_WHOLE = {sign: re.compile(rf"[0-9]+|[1-9][0-9]{{0,2}}(?:\{sign}[0-9]{{3}})+") for sign in ",."}
_PART = re.compile(r"[0-9]+")


@total_ordering
@dataclass(frozen=True)
class Money:
    """Two of different currencies are neither added nor compared: ValueError."""

    minor: int
    currency: str  # ISO 4217, lower case

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            raise TypeError(f"{self.minor!r} is no number of minor units.")

    def __lt__(self, other: "Money") -> bool:
        if self.currency != other.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not compare.")
        return self.minor < other.minor

    def __add__(self, other: "Money") -> "Money":
        if self.currency != other.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add up.")
        return Money(self.minor + other.minor, self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.minor, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return self + -other

    @property
    def decimals(self) -> int:
        if self.currency in ZERO_DECIMAL:
            return 0
        return 3 if self.currency in THREE_DECIMAL else 2

    @property
    def fits_stripe(self) -> bool:
        """Stripe takes three-decimal currencies in tens of the smallest unit."""
        return self.decimals < 3 or self.minor % 10 == 0

    @property
    def plain(self) -> str:
        """`1234` usd → `"12.34"`, `-5` usd → `"-0.05"`."""
        sign, digits = ("-" if self.minor < 0 else ""), str(abs(self.minor)).rjust(self.decimals + 1, "0")
        if not self.decimals:
            return sign + digits
        return f"{sign}{digits[: -self.decimals]}.{digits[-self.decimals :]}"

    def typed(self) -> str:
        """As it stands in a field of the page's language: what `read` reads back."""
        return self.plain.replace(".", get_decimal_symbol(_locale()))

    def written(self, locale: Locale | None = None) -> str:
        """`1234` usd → `$12.34` in English, `12,34 US$` in Spanish; the page's language if none is given."""
        spoken = locale or _locale()
        pattern = copy(spoken.currency_formats["standard"])
        pattern.frac_prec = (self.decimals, self.decimals)  # Stripe's digits and ours, where Babel rounds to others
        amount = Decimal(self.minor).scaleb(-self.decimals)
        return str(pattern.apply(amount, spoken, currency=self.currency.upper(), currency_digits=False))


def total(amounts: Iterable[Money], currency: str) -> Money:
    """Their sum; nothing, in this currency, of none."""
    return sum(amounts, Money(0, currency))


def read(text: str, currency: str, *, field: str = "amount") -> Money:
    """What somebody typed as an amount above zero: `12`, `12.5`, `$1,000.00`; in Spanish `1.000,00`, and `12.50` too.

    Raises Refused.
    """
    minor = _minor_units(_bare(text, currency), Money(0, currency).decimals)
    if minor is None:
        raise Refused(_("Enter an amount such as %(example)s.", example=Money(12500, currency).typed()), field=field)
    if minor == 0:
        raise Refused(_l("Enter an amount above zero."), field=field)
    if minor > MOST_MINOR:
        raise Refused(_("Enter at most %(most)s.", most=Money(MOST_MINOR, currency).typed()), field=field)
    return Money(minor, currency)


def _bare(text: str, currency: str) -> str:
    """The figures, without spaces, the currency's sign or its code."""
    bare, code = _SPACES.sub("", text), currency.upper()
    for sign in (get_currency_symbol(code, locale=_locale()), code, currency, "$" if code.endswith("D") else code):
        bare = bare.removeprefix(sign).removesuffix(sign)
    return bare


def _minor_units(bare: str, decimals: int) -> int | None:
    """None for what is no amount, or is finer than the currency."""
    decimal = get_decimal_symbol(_locale())
    group = "," if decimal == "." else "."
    found = _figures(bare, decimal, group)
    if found is None and decimals < 3 and bare.count(group) == 1:
        # The other language's way. Thousands would have three figures after the sign, so that nothing is mistaken.
        found = _figures(bare, group, decimal)
    if found is None or len(found[1]) > decimals or len(found[0]) > LONGEST:
        return None
    whole, part = found
    return int(whole + part.ljust(decimals, "0"))


def _figures(bare: str, decimal: str, group: str) -> tuple[str, str] | None:
    """(before the decimal sign, after it)"""
    whole, has_part, part = bare.partition(decimal)
    whole = whole or "0" if has_part else whole  # .50
    if has_part and not _PART.fullmatch(part) or not _WHOLE[group].fullmatch(whole):
        return None
    return whole.replace(group, ""), part


def _locale() -> Locale:
    return get_locale() or Locale("en")
