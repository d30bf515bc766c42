"""The five ways the house says no. Each carries a sentence fit for the page that says what to do."""

from datetime import timedelta
from typing import Any


class PorticoError(Exception):
    """A refusal with a sentence for the person in front of the screen.

    `message` may be a lazily translated string; `field` names the form field it belongs to, if one.
    """

    def __init__(self, message: Any = "", *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class NotFound(PorticoError):
    """Wrong clinic, wrong family or missing: the three must not be told apart (404)."""


class NotAllowed(PorticoError):
    """Known person, missing right (403)."""


class Refused(PorticoError):
    """What was typed breaks a rule (422)."""


class Conflict(PorticoError):
    """Somebody else was first; reload and look again (409)."""


class NotNow(PorticoError):
    """Come back after `wait`."""

    def __init__(self, message: Any, wait: timedelta) -> None:
        super().__init__(message)
        self.wait = wait


class TooManyTries(NotNow):
    """Somebody guesses, or might (429)."""


class Busy(NotNow):
    """More is asked for at once than can be done (503)."""
