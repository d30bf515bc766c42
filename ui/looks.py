"""Looks at records: the mark beside a view that shows some, and what each answer leaves in the audit log.

One request, one entry, written after the view and before anything is sent. What cannot be recorded is not shown: the
answer is then 503. Changes are recorded by the domain's own verbs, in their transaction.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID

from flask import current_app, g, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import ServiceUnavailable
from werkzeug.wrappers import Response

from tenancy.database import transaction

View = TypeVar("View", bound=Callable[..., Any])
SHOWN = (200, 206, 422)
REFUSED = (403, 404, 429)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mark:
    event: str
    once: bool  # in a session, and of one thing


class Log(Protocol):
    """Where it is recorded: `clinic.audit`."""

    def record_view(
        self, event: str, *, subject_id: UUID | None, patient_ids: tuple[UUID, ...], once_in: UUID | None
    ) -> None: ...

    def record_refusal(self, page: str, ids: dict[str, Any]) -> None: ...

    def record_failure(self, page: str, ids: dict[str, Any]) -> None: ...


def shows(event: str, *, once: bool = False) -> Callable[[View], View]:
    """Mark a view that shows something of a patient's record; `event` says what, as `documents.viewed`.

    A list, `patients.listed`, that was asked for words is recorded as `patients.searched`, without the words. `once` is
    for files, which browsers fetch piece by piece: the first time in a session counts.
    """

    def mark(view: View) -> View:
        view.shows = Mark(event, once)  # type: ignore[attr-defined]
        return view

    return mark


def about(*patient_ids: UUID) -> None:
    """Say whom the page is about, where its address does not."""
    g.about = patient_ids


def recorded(answer: Response, record_in: Log, session_id: UUID) -> Response:
    """The answer to somebody signed in, once it is recorded; or 503."""
    try:
        _record(answer.status_code, record_in, session_id)
    except SQLAlchemyError:
        log.exception("An answer of %s could not be recorded, so it was not sent", request.endpoint)
        return current_app.make_response(current_app.handle_http_exception(ServiceUnavailable()))
    return answer


def _record(status: int, record_in: Log, session_id: UUID) -> None:
    page, ids = request.endpoint or "", request.view_args or {}
    mark: Mark | None = getattr(current_app.view_functions[page], "shows", None)
    if status in REFUSED:
        with transaction():
            record_in.record_refusal(page, ids)
    elif status >= 500:
        with transaction():
            record_in.record_failure(page, ids)
    elif mark and status in SHOWN and request.method != "OPTIONS":
        with transaction():
            record_in.record_view(
                _event(mark),
                subject_id=_subject_of(ids),
                patient_ids=(ids["patient_id"],) if "patient_id" in ids else g.get("about", ()),
                once_in=session_id if mark.once else None,
            )


def _subject_of(ids: dict[str, Any]) -> UUID | None:
    """The last id of the address that is not the patient's."""
    named = (each for name, each in reversed(ids.items()) if name != "patient_id")
    return next((each for each in named if isinstance(each, UUID)), None)


def _event(mark: Mark) -> str:
    is_search = request.args.get("q", "").strip() != ""
    return mark.event.replace(".listed", ".searched") if is_search else mark.event
