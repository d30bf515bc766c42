"""Lost if it fails: nobody finds out which page a line of the log is about, or a job's work is booked on somebody's request."""

import logging

from flask.logging import default_handler

from tenancy import requests
from tenancy.client_address import NOBODYS


def test_a_request_is_answered_until_it_is() -> None:
    assert requests.find_current() is None
    with requests.answering(NOBODYS):
        first = requests.find_current()
        assert first and first.address == "::"
    with requests.answering(NOBODYS):
        second = requests.find_current()
        assert second and second.id != first.id
    assert requests.find_current() is None


def test_flask_s_log_names_the_request_of_each_line() -> None:
    formatter = default_handler.formatter
    default_handler.removeFilter(requests._NAMES_REQUEST)
    default_handler.setFormatter(None)
    try:
        requests.name_in_log()
        line = logging.LogRecord("x", logging.ERROR, "x.py", 1, "broke", None, None)
        with requests.answering(NOBODYS):
            current = requests.find_current()
            assert default_handler.filter(line)
        assert current and f"ERROR in x, request {current.id}: broke" in default_handler.format(line)
    finally:
        default_handler.setFormatter(formatter)
