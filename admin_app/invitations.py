"""Invite Patient Contacts: choose, read the confirmation and its warnings, continue, and see what became of each."""

from uuid import UUID

from flask import Response, request
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse
from wtforms import BooleanField, HiddenField, SelectMultipleField

from admin_app import paging
from admin_app.blueprint import admin, go, page
from admin_app.guards import needs
from clinic import invitation_batches, invitation_list, invitation_warnings
from clinic.invitation_batches import GOOD_FATES
from clinic.staff import Right
from tenancy.database import transaction
from tenancy.errors import Refused
from ui.forms import PorticoForm
from ui.looks import shows

COUNTED = 1000  # beyond that the page says "1,000+"
ROWS = 200
REFRESH_SECONDS = 2


class ChoiceForm(PorticoForm):
    q = HiddenField()
    relationship_id = SelectMultipleField(_l("Contacts to invite"), coerce=UUID, validate_choice=False)
    all_matching = BooleanField()


@admin.get("/invitations/new")
@needs(Right.ADMIN)
@shows("contacts.listed")
def new_invitations() -> Response:
    return _list(ChoiceForm(), request.args.get("q", ""))


@admin.post("/invitations")
@needs(Right.ADMIN)
@shows("contacts.listed")
def invitations_choice() -> AnyResponse:
    form = ChoiceForm()
    if form.validate_on_submit():
        try:
            with transaction():
                if form.all_matching.data:
                    batch = invitation_batches.choose_matching(form.q.data or "")
                else:
                    batch = invitation_batches.choose(form.relationship_id.data)
        except Refused as refusal:
            form.refuse(refusal)
        else:
            return go("invitation_confirmation", batch_id=batch.id)
    return _list(form, form.q.data or "")


@admin.get("/invitations/<uuid:batch_id>/confirmation")
@needs(Right.ADMIN)
@shows("invitation_batch.viewed", once=True)
def invitation_confirmation(batch_id: UUID) -> AnyResponse:
    position = _position()
    with transaction():
        batch = invitation_batches.get(batch_id)
        rows = invitation_batches.rows(batch_id, after=position, limit=ROWS + 1)
        warnings = invitation_warnings.of_batch(batch_id) if batch.is_draft else []
    if not batch.is_draft:
        return go("invitation_result", batch_id=batch_id)
    return page(
        "admin/invitations/confirmation.html",
        batch=batch,
        rows=rows[:ROWS],
        following=rows[ROWS - 1].position if len(rows) > ROWS else None,
        position=position,
        warnings=warnings,
    )


@admin.post("/invitations/<uuid:batch_id>/confirmation")
@needs(Right.ADMIN)
def invitation_carrying_out(batch_id: UUID) -> AnyResponse:
    with transaction():
        invitation_batches.confirm(batch_id)
    return go("invitation_result", batch_id=batch_id)


@admin.get("/invitations/<uuid:batch_id>")
@needs(Right.ADMIN)
@shows("invitation_batch.viewed", once=True)
def invitation_result(batch_id: UUID) -> AnyResponse:
    position, shown = _position(), request.args.get("show")
    with transaction():
        batch = invitation_batches.get(batch_id)
        counted = invitation_batches.fates(batch_id)
        bad = sum(number for fate, number in counted.items() if fate not in GOOD_FATES)
        bad_only = bool(bad) and shown != "all"
        rows = invitation_batches.rows(batch_id, after=position, limit=ROWS + 1, bad_only=bad_only)
    if batch.is_draft:
        return go("invitation_confirmation", batch_id=batch_id)
    return page(
        "admin/invitations/result.html",
        batch=batch,
        counted=counted,
        bad=bad,
        bad_only=bad_only,
        rows=rows[:ROWS],
        following=rows[ROWS - 1].position if len(rows) > ROWS else None,
        position=position,
        refresh_seconds=None if batch.is_finished else REFRESH_SECONDS,
    )


def _list(form: ChoiceForm, typed: str) -> Response:
    place = paging.place()
    with transaction():
        found = invitation_list.page(typed, after=place, limit=paging.ROWS + 1)
        count = invitation_list.count_up_to(COUNTED + 1, typed)
    rows, following = paging.cut(found)
    return page(
        "admin/invitations/list.html",
        form=form,
        rows=rows,
        typed=typed,
        place=place,
        following=following,
        count=count,
        most=COUNTED,
        ticked={str(each) for each in form.relationship_id.data or ()},
    )


def _position() -> int:
    """The row after which a page of a batch begins; 0 for anything else than a number."""
    asked_for = request.args.get("after", "")
    return int(asked_for) if asked_for.isascii() and asked_for.isdecimal() and len(asked_for) < 10 else 0
