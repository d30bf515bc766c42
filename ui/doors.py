"""Ways in and ways on that both faces share: which views are open, and how far a sign-in must have come for the others.

A view says what it needs by a mark; `held_back` is the one place that compares it with the person who asks.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import request

View = TypeVar("View", bound=Callable[..., Any])
LONGEST_NEXT = 2000
FULL = "full"
CONFIRMATION = "confirmation"


def safe_next(text: str | None) -> str | None:
    """The path of a page on this very host that a query named, or None for anything a browser could read otherwise."""
    if not text or len(text) > LONGEST_NEXT or not text.startswith("/"):
        return None
    if text[1:2] in ("/", "\\") or not text.isprintable() or " " in text or "\\" in text:
        return None
    return text


def open_page(view: View) -> View:
    """Mark a view that needs nobody signed in. Every other view of a face does."""
    view.open_page = True  # type: ignore[attr-defined]
    return view


def is_open(view: Callable[..., Any] | None) -> bool:
    return bool(getattr(view, "open_page", False))


def at_stage(*stages: str) -> Callable[[View], View]:
    """Mark a view for people whose sign-in has come just so far; every other view is for those fully signed in."""

    def mark(view: View) -> View:
        view.stages = frozenset(stages)  # type: ignore[attr-defined]
        return view

    return mark


def fresh_page(view: View) -> View:
    """Mark a view as sensitive: it opens only to somebody who has proved minutes ago who they are."""
    view.is_sensitive = True  # type: ignore[attr-defined]
    return view


def held_back(view: Callable[..., Any], *, stage: str, is_fresh: bool) -> str | None:
    """Where a person must go in place of this view: on to the step that is due, or to `CONFIRMATION`. None: come in."""
    if stage not in getattr(view, "stages", (FULL,)):
        return stage
    return CONFIRMATION if getattr(view, "is_sensitive", False) and not is_fresh else None


def page_before() -> str | None:
    """The page of this host that a form stood on, by what the browser says; to lead back there, never to decide by."""
    parts = urlsplit(request.referrer or "")
    return safe_next(f"{parts.path}?{parts.query}" if parts.query else parts.path)
