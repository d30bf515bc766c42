"""Ways in and ways on that both faces share: where to go after signing in, and which views are open."""

from collections.abc import Callable
from typing import Any, TypeVar

View = TypeVar("View", bound=Callable[..., Any])
LONGEST_NEXT = 2000


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
