"""Ways in and ways on that both faces share: where to go after signing in, which views are open, paging cursors."""

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

View = TypeVar("View", bound=Callable[..., Any])
LONGEST_NEXT = 2000
LONGEST_CURSOR = 1000


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


def cursor_text(cursor: tuple[Any, ...] | None) -> str | None:
    """Where a list goes on, as text for an address: opaque, but no secret. Parts are text, numbers, UUIDs or None."""
    if cursor is None:
        return None
    parts = [{"id": str(part)} if isinstance(part, UUID) else part for part in cursor]
    plain = json.dumps(parts, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(plain).rstrip(b"=").decode()


def cursor_of(text: str | None, *kinds: type) -> tuple[Any, ...] | None:
    """What `cursor_text` made, of parts of these kinds; None, hence the list's beginning, for anything else."""
    if not text or len(text) > LONGEST_CURSOR:
        return None
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        parts = json.loads(plain)
        cursor = tuple(UUID(part["id"]) if isinstance(part, dict) else part for part in parts)
    except (ValueError, binascii.Error, KeyError, TypeError, AttributeError, RecursionError):
        return None
    fits = len(cursor) == len(kinds) and all(isinstance(part, kind) for part, kind in zip(cursor, kinds, strict=True))
    return cursor if fits and not any(isinstance(part, str) and "\x00" in part for part in cursor) else None
