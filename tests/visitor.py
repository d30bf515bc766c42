"""Somebody with a browser: keeps cookies, sends the form token of the page last seen."""

import re
from typing import Any

import pyotp
from flask import Flask
from werkzeug.test import TestResponse

from clinic import demo
from tenancy import clock
from tests import inside

_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
_RANDOM = re.compile(r"""(name="(?:csrf_token|payment_id|refund_id)"[^>]*value="|nonce="|'nonce-)[^"']*""")


def compared(text: str) -> str:
    """A page or a header as two of them are compared: without the form token, the script's nonce, and the id that a
    form brings for what it is to make."""
    return _RANDOM.sub(r"\1", text)


def app_code(secret: str = demo.APP_SECRET, *, steps: int = 0) -> str:
    """What an authenticator app shows now; or so many steps of 30 seconds later."""
    shown: str = pyotp.TOTP(secret).at(int(clock.now().timestamp()) + 30 * steps)
    return shown


class Visitor:
    """A browser at one host, without JavaScript."""

    def __init__(self, app: Flask, base_url: str) -> None:
        self.app = app
        self.base_url = base_url
        self.client = app.test_client()
        self.client.environ_base["HTTP_ORIGIN"] = base_url
        self.token = ""

    def get(self, path: str, **options: Any) -> TestResponse:
        return self._sent(self.client.get(path, base_url=self.base_url, **options))

    def head(self, path: str, **options: Any) -> TestResponse:
        return self.client.head(path, base_url=self.base_url, **options)

    def post(self, path: str, data: dict[str, Any] | None = None, **options: Any) -> TestResponse:
        """Send a form with the token of the last page that had one."""
        form = {"csrf_token": self.token, **(data or {})}
        return self._sent(self.client.post(path, data=form, base_url=self.base_url, **options))

    def read(self, path: str) -> str:
        """A page that must be there, as text."""
        answer = self.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.text

    def sign_in(self, email: str, prefix: str = "", password: str = demo.PASSWORD) -> "Visitor":
        """With the password and, where one is asked for, the code that the demo's authenticator app shows."""
        where = self.show_password(email, prefix, password)
        if "/sign-in/code" in where:
            slug = prefix.strip("/") or self.base_url.split("//")[1].split(".")[0]
            inside.forget_spent_codes(self.app, slug, email)
            answer = self.post(where, {"code": app_code()})
            assert answer.status_code == 303, answer.text
            self.get(answer.headers["Location"])  # for a token of the new session
        return self

    def show_password(self, email: str, prefix: str = "", password: str = demo.PASSWORD) -> str:
        """The first step alone; returns where it leads, a page that was looked at."""
        self.get(f"{prefix}/sign-in")
        answer = self.post(f"{prefix}/sign-in", {"email": email, "password": password})
        while answer.status_code == 303:
            where = answer.headers["Location"]
            answer = self.get(where)
        assert answer.status_code == 200, answer.text
        return where

    def at(self, base_url: str) -> "Visitor":
        """The same cookies carried to another host, as a thief or a tab would."""
        other = Visitor(self.app, base_url)
        for cookie in self.client._cookies.values():
            other.client.set_cookie(cookie.key, cookie.value, domain=base_url.split("//")[1].split(":")[0])
        other.token = self.token
        return other

    def _sent(self, answer: TestResponse) -> TestResponse:
        if answer.mimetype == "text/html" and (found := _TOKEN.search(answer.text)):
            self.token = found[1]
        return answer
