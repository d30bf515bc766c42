"""Admin → Audit log: who did, saw or was refused what, and the same as a file for a spreadsheet."""

import csv
import json
from io import TextIOWrapper
from tempfile import SpooledTemporaryFile
from typing import Any
from uuid import UUID

import wtforms
from flask import Response, request, send_file
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import SelectChoice
from wtforms.validators import Optional

from admin_app import audit_words, paging
from admin_app.blueprint import admin, clinic_here, page
from admin_app.guards import needs
from clinic import audit_log
from clinic.audit import Result
from clinic.audit_log import EventKind, LogFilter, LogRow
from clinic.staff import Right
from tenancy import clock
from tenancy.database import transaction
from ui.forms import DateField, PorticoForm
from ui.looks import shows

IN_MEMORY = 1024 * 1024  # bytes of an export; beyond that it grows on disk, so that no reader keeps a transaction open
COLUMNS = (
    "number", "at_utc", "actor_kind", "actor_role", "actor_id", "actor_name", "event", "result",
    "patient_id", "patient_name", "subject_id", "request_id", "address", "details",
)  # fmt: skip
STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _id_or_none(text: Any) -> UUID | None:
    return UUID(str(text)) if text else None


class LogFilterForm(PorticoForm):
    """Read from the address of the page, so that a filtered log can be kept and gone back to."""

    class Meta(PorticoForm.Meta):
        csrf = False

    since = DateField(_l("From"), [Optional()])
    until = DateField(_l("To"), [Optional()])
    person = wtforms.SelectField(_l("Person"), [Optional()], validate_choice=False, coerce=_id_or_none)
    kind = wtforms.SelectField(_l("What"), [Optional()])
    result = wtforms.SelectField(_l("Result"), [Optional()])
    patient = wtforms.HiddenField(validators=[Optional(), wtforms.validators.UUID()])

    def asked(self) -> LogFilter:
        return LogFilter(
            since=self.since.data,
            until=self.until.data,
            actor_id=self.person.data,
            patient_id=_id_or_none(self.patient.data),
            kind=EventKind(self.kind.data) if self.kind.data else None,
            result=Result(self.result.data) if self.result.data else None,
        )


@admin.get("/audit-log")
@needs(Right.ADMIN, fresh=True)
@shows("audit_log.viewed")
def audit_log_list() -> Response:
    form, place = _form(), paging.place()
    found: list[LogRow] = []
    person = patient = None
    with transaction():
        members = audit_log.staff_names()
        if form.validate():
            found = audit_log.search(form.asked(), after=place, limit=paging.ROWS + 1)
            person, patient = audit_log.names_of(form.asked())
    _name_the_choices(form, members, person)
    rows, following = paging.cut(found)
    asked_for = {name: value for name, value in request.args.items() if value and name in form._fields}
    return page(
        "admin/audit_log/list.html",
        form=form,
        rows=rows,
        place=place,
        following=following,
        asked_for=asked_for,
        patient_name=patient,
        said=audit_words,
    )


class _Kept(SpooledTemporaryFile[bytes]):
    """An export on its way out; closed with its answer, and where nobody takes the answer to its end."""

    def __del__(self) -> None:
        self.close()


@admin.get("/audit-log/export")
@needs(Right.ADMIN, fresh=True)
@shows("audit_log.exported")
def audit_log_export() -> Response:
    form = _form()
    asked = form.asked() if form.validate() else LogFilter()
    kept = _Kept(max_size=IN_MEMORY)
    text = TextIOWrapper(kept, "utf-8-sig", newline="", write_through=True)
    written = csv.writer(text)
    written.writerow(COLUMNS)
    with transaction():
        for row in audit_log.every(asked):
            written.writerow([harmless(value) for value in _values(row)])
    text.detach()
    kept.seek(0)
    name = f"audit-log-{clinic_here().slug}-{clock.today(clinic_here().time_zone)}.csv"
    return send_file(kept, "text/csv", as_attachment=True, download_name=name, conditional=False, etag=False)


def harmless(value: Any) -> str:
    """A cell as text that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(STARTS_A_FORMULA) else text


def _values(row: LogRow) -> tuple[Any, ...]:
    return (
        *(row.number, row.at.isoformat(), row.actor_kind, row.actor_role, row.actor_id, row.actor_name, row.event),
        *(row.result, row.patient_id, row.patient_name, row.subject_id, row.request_id, row.address),
        json.dumps(row.details, ensure_ascii=False),
    )


def _form() -> LogFilterForm:
    form = LogFilterForm(request.args)
    form.person.choices = []
    form.kind.choices = [SelectChoice("", _("Everything")), *_choices(audit_words.KINDS)]
    form.result.choices = [SelectChoice("", _("All")), *_choices({key: word[0] for key, word in audit_words.RESULTS.items()})]
    return form


def _name_the_choices(form: LogFilterForm, members: list[tuple[UUID, str]], person: str | None) -> None:
    """The staff, and whoever else is asked for already."""
    named = [(each_id, name) for each_id, name in members if each_id != form.person.data]
    chosen = [(form.person.data, person or _("Somebody who is gone"))] if form.person.data else []
    form.person.choices = [SelectChoice("", _("Everybody")), *(SelectChoice(str(key), name) for key, name in chosen + named)]


def _choices(words: dict[Any, Any]) -> list[SelectChoice]:
    return [SelectChoice(str(key.value), word) for key, word in words.items()]
