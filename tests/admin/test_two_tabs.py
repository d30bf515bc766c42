"""Staff who work for two clinics hold both open at once."""

from flask import Flask

from tests.visitor import Visitor


def test_two_tabs_may_hold_two_clinics(app: Flask) -> None:
    """Lost if it fails: looking at another clinic's sign-in page signs you out of your own."""
    browser = Visitor(app, "http://admin.localhost:8000").sign_in("ana@elm.example", "/elm-street")
    browser.sign_in("ola@oak.example", "/oak-hill")
    assert "Ana" in browser.read("/elm-street/")
    assert "Ola" in browser.read("/oak-hill/")
