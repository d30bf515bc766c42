"""The browser behind a request, in a few plain words: what a person needs to know their own sign-ins again.

Kept with a session and shown to its holder; nothing is decided by it, since a browser says what it likes.
"""

from contextvars import ContextVar
from dataclasses import dataclass

from tenancy import client_address
from tenancy.client_address import Address

# The first that fits: most browsers also claim to be the older ones.
_FAMILIES = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Macintosh", "Mac"),
    ("Linux", "Linux"),
)


@dataclass(frozen=True)
class Browser:
    """`name` is "Firefox · Windows" or none; `network_address` an IP address or none."""

    name: str | None = None
    network_address: str | None = None


NOBODYS = Browser()
_browser: ContextVar[Browser] = ContextVar("browser", default=NOBODYS)


def current() -> Browser:
    return _browser.get()


def become(browser: Browser) -> None:
    """The request that begins comes from this browser; outside a request there is none."""
    _browser.set(browser)


def described(user_agent: str, address: Address) -> Browser:
    """Family and system of a User-Agent header, with the address that the request came from."""
    found = [next((word for sign, word in words if sign in user_agent), None) for words in (_FAMILIES, _SYSTEMS)]
    name = " · ".join(word for word in found if word)
    return Browser(name or None, None if address == client_address.NOBODYS else str(address))
