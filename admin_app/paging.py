"""Lists paged by key: a page ends with a row, and the next begins after it, however long the list."""

import base64
import json
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar
from uuid import UUID

from flask import request

ROWS = 50
LONGEST_CURSOR = 2000


class Listed(Protocol):
    @property
    def cursor(self) -> tuple[str, UUID]: ...


Row = TypeVar("Row", bound=Listed)


def place() -> tuple[str, UUID] | None:
    """Where `?after=` says to go on from; none, and so the first page, for anything that is not a place."""
    return read(request.args.get("after", ""))


def cut(rows: Sequence[Row], most: int = ROWS) -> tuple[list[Row], str | None]:
    """The rows of one page of `most`, and the place where the next begins. Ask for one row more than you show."""
    shown = list(rows[:most])
    return shown, written(shown[-1].cursor) if len(rows) > most else None


def written(cursor: tuple[str, UUID]) -> str:
    plain = json.dumps([cursor[0], str(cursor[1])]).encode()
    return base64.urlsafe_b64encode(plain).rstrip(b"=").decode()


def read(text: str) -> tuple[str, UUID] | None:
    """What `written` wrote."""
    try:
        padded = text[:LONGEST_CURSOR] + "=" * (-len(text) % 4)
        key, row_id = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        _storable(key)
        return key, UUID(row_id)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _storable(key: Any) -> None:
    """Raises ValueError or TypeError for what PostgreSQL could not compare."""
    if not isinstance(key, str):
        raise TypeError("a key is text")
    if "\0" in key:
        raise ValueError("a key has no NUL")
    key.encode()
