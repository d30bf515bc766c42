"""The request that is being answered: an id of its own, for the audit log and the logs, and where it came from."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID, uuid4

from flask.logging import default_handler

from tenancy.client_address import Address

LOG_FORMAT = "[%(asctime)s] %(levelname)s in %(module)s, request %(request_id)s: %(message)s"


@dataclass(frozen=True)
class AnsweredRequest:
    id: UUID
    address: str  # of the client's network


_current: ContextVar[AnsweredRequest | None] = ContextVar("request", default=None)


def find_current() -> AnsweredRequest | None:
    """None in jobs and commands."""
    return _current.get()


@contextmanager
def answering(client: Address) -> Iterator[None]:
    """Within this block, this request is answered. Its id is ours: none that a client sends is believed."""
    token = _current.set(AnsweredRequest(uuid4(), str(client)))
    try:
        yield
    finally:
        _current.reset(token)


class NamesRequest(logging.Filter):
    """Gives each line of the log the request it was written in."""

    def filter(self, record: logging.LogRecord) -> bool:
        current = find_current()
        record.request_id = current.id if current else "-"
        return True


def name_in_log() -> None:
    """From now on Flask's log says of each line which request it belongs to."""
    default_handler.addFilter(_NAMES_REQUEST)
    default_handler.setFormatter(logging.Formatter(LOG_FORMAT))


_NAMES_REQUEST = NamesRequest()
