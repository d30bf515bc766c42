"""Keeps a Stripe that is away or slow from holding up the rest of a process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from clinic.stripe_gateway.facts import StripeDown, StripeRefused, StripeUnknown
from tenancy import clock

AT_ONCE = 3  # of a web process's threads, some must be left for everything else
FAILURES = 3  # in a row, until nobody is sent any more
REST = timedelta(seconds=30)


class Breaker:
    """At most AT_ONCE calls at once; after FAILURES calls without an answer that can be used, none for a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free = threading.Semaphore(AT_ONCE)
        self._failures = 0
        self._rests_until: datetime | None = None

    @contextmanager
    def passing(self, wait_seconds: float) -> Iterator[None]:
        """Around a call. Raises StripeDown at once while resting, and when no place gets free within the wait."""
        with self._lock:
            if self._rests_until and clock.now() < self._rests_until:
                raise StripeDown("Stripe did not answer several times in a row; it is asked again in a moment.")
        if not self._free.acquire(timeout=wait_seconds):
            raise StripeDown("Too many requests to Stripe are waiting for their answers.")
        try:
            yield
        except StripeUnknown:
            self._not_answered()
            raise
        except StripeRefused:
            self._answered()
            raise
        else:
            self._answered()
        finally:
            self._free.release()

    def _not_answered(self) -> None:
        with self._lock:
            self._failures += 1
            if self._failures >= FAILURES:
                self._rests_until = clock.now() + REST

    def _answered(self) -> None:
        with self._lock:
            self._failures, self._rests_until = 0, None
