"""How much a request may carry: little, unless its view takes files. More is refused before it is read.

What is sent stays in memory until it is sealed: no file of a patient is spooled to disk in the clear.
"""

import io
from collections.abc import Callable
from typing import IO, Any, TypeVar

from flask import Flask, Request, current_app, request, session

View = TypeVar("View", bound=Callable[..., Any])
MOST_OF_A_FORM = 256 * 1024  # the longest message in four-byte letters, percent-encoded, takes a tenth


class InMemoryRequest(Request):
    def _get_file_stream(self, *_args: Any, **_kwargs: Any) -> IO[bytes]:
        return io.BytesIO()


def takes_files(most_bytes: int) -> Callable[[View], View]:
    """Mark a view whose form may carry this much of files, beside its text."""

    def mark(view: View) -> View:
        view.most_bytes = most_bytes + MOST_OF_A_FORM  # type: ignore[attr-defined]
        return view

    return mark


def install(app: Flask) -> None:
    """Before anything that reads forms."""
    app.request_class = InMemoryRequest
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = MOST_OF_A_FORM
    app.config["MAX_FORM_PARTS"] = 1000
    app.before_request(_allow_files)


def _allow_files() -> None:
    """Only to somebody who has signed in here: a stranger's file would be held in memory to be refused."""
    most = getattr(current_app.view_functions.get(request.endpoint or ""), "most_bytes", None)
    if most is not None and "_user_id" in session:
        request.max_content_length = most
