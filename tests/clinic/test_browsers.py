"""Lost if it fails: somebody who looks for a stranger among their sign-ins cannot tell which one is their own phone."""

from ipaddress import ip_address

import pytest

from clinic import browsers
from clinic.browsers import Browser
from tenancy import client_address

HERE = ip_address("192.0.2.7")
LIKE_GECKO = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0", "Firefox · Windows"),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {LIKE_GECKO} Chrome/131.0.0.0 Safari/537.36", "Chrome · Mac"),
        (f"Mozilla/5.0 (Windows NT 10.0) {LIKE_GECKO} Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0", "Edge · Windows"),
        (f"Mozilla/5.0 (Linux; Android 14) {LIKE_GECKO} SamsungBrowser/27.0 Chrome/125.0 Mobile Safari/537.36",
         "Samsung Internet · Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Version/18.1 Mobile Safari/604.1",
         "Safari · iPhone"),
        ("Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 CriOS/131.0 Mobile Safari/604.1", "Chrome · iPad"),
        (f"Mozilla/5.0 (X11; CrOS x86_64) {LIKE_GECKO} Chrome/131.0 Safari/537.36", "Chrome · ChromeOS"),
        ("curl/8.5.0 (Linux)", "Linux"),
        ("<script>alert(1)</script>", None),
        ("", None),
    ],
)  # fmt: skip
def test_a_browser_is_named_as_people_know_it(user_agent: str, name: str | None) -> None:
    assert browsers.described(user_agent, HERE) == Browser(name, "192.0.2.7")


def test_an_address_that_is_nobodys_is_not_shown() -> None:
    assert browsers.described("", client_address.NOBODYS).network_address is None


def test_outside_a_request_there_is_no_browser() -> None:
    assert browsers.current() == browsers.NOBODYS
