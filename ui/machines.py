"""Routes that another house's machine sends to, not a page: whoever sends there has no browser.

What proves that a form is of one of our pages (the origin, the form token, the cookie) proves nothing there, so none of
it is asked, read or set. Such a view believes nothing but what it was sent, by its signature; it stands at the front
door, outside every clinic.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, current_app, request, session
from werkzeug.wrappers import Response

View = TypeVar("View", bound=Callable[..., Any])


def machine_route(view: View) -> View:
    """Mark a view that machines send to."""
    view.machine_route = True  # type: ignore[attr-defined]
    return view


def is_for_machines(view: Callable[..., Any] | None) -> bool:
    return bool(getattr(view, "machine_route", False))


def are_sending() -> bool:
    """Whether this request is for such a view."""
    return is_for_machines(current_app.view_functions.get(request.endpoint or ""))


def install(app: Flask) -> None:
    """Before anything that reads a cookie."""
    app.before_request(_without_cookies)
    app.after_request(_setting_none)


def _without_cookies() -> None:
    """As if none had come."""
    if are_sending():
        request.environ.pop("HTTP_COOKIE", None)
        session.clear()


def _setting_none(answer: Response) -> Response:
    """What was put into the session meanwhile goes nowhere."""
    if are_sending():
        session.clear()
        session.modified = False
        answer.headers.remove("Set-Cookie")
    return answer
