"""Somebody with a browser: keeps cookies, sends the form token of the page last seen."""

import re
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from clinic import demo

_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
_RANDOM = re.compile(r"""(name="csrf_token"[^>]*value="|nonce="|'nonce-)[^"']*""")


def compared(text: str) -> str:
    """A page or a header as two of them are compared: without the form token and the script's nonce."""
    return _RANDOM.sub(r"\1", text)


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
        self.get(f"{prefix}/sign-in")
        answer = self.post(f"{prefix}/sign-in", {"email": email, "password": password})
        assert answer.status_code == 303, answer.text
        self.get(answer.headers["Location"])  # for a token of the new session
        return self

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
