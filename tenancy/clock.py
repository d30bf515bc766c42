"""The only clock. Tests move it; nothing else reads the time."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

_shift: ContextVar[timedelta] = ContextVar("clock_shift", default=timedelta(0))


def now() -> datetime:
    """The present instant, aware, UTC."""
    return datetime.now(UTC) + _shift.get()  # noqa: TID251  the one place


def today(time_zone: str) -> date:
    """The date it is now in an IANA time zone."""
    return now().astimezone(ZoneInfo(time_zone)).date()


@contextmanager
def moved(by: timedelta) -> Iterator[None]:
    """Run a block as if `by` later (or earlier)."""
    token = _shift.set(_shift.get() + by)
    try:
        yield
    finally:
        _shift.reset(token)
