"""Lost if it fails: a link's secret is told to the next page, or a browser may keep, frame or guess what it was shown."""

from typing import Any

import pytest

from tenancy import headers
from tenancy.headers import ALWAYS, OVER_TLS


def worn(*said: tuple[str, str], is_secure: bool = False, holds_secret: bool = False) -> list[tuple[str, str]]:
    """What an answer that says this goes out with."""
    sent: list[Any] = []

    def start_response(status: str, lines: list[tuple[str, str]], *fault: Any) -> Any:
        sent.extend((status, lines, fault))

    headers.dressed(start_response, is_secure=is_secure, holds_secret=holds_secret)("200 OK", list(said), "fault")  # type: ignore[arg-type]
    assert (sent[0], sent[2]) == ("200 OK", ("fault",))
    lines: list[tuple[str, str]] = sent[1]
    return lines


@pytest.mark.parametrize("is_secure", [False, True])
def test_an_answer_wears_all_that_it_left_unsaid(is_secure: bool) -> None:
    assert dict(worn(is_secure=is_secure)) == ALWAYS | (OVER_TLS if is_secure else {})


def test_what_an_answer_says_itself_stands_alone() -> None:
    found = worn(("cache-control", "private"), ("Content-Type", "text/plain"))
    assert [value for name, value in found if name.lower() == "cache-control"] == ["private"]
    assert len(found) == len(ALWAYS) + 1


def test_an_address_with_a_secret_is_told_to_no_page() -> None:
    assert dict(worn(holds_secret=True))["Referrer-Policy"] == "no-referrer"
    assert dict(worn())["Referrer-Policy"] == "same-origin"
