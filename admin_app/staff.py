"""Admin → Advanced Setup → Staff: who works here, in which role; invited, changed, deactivated by an admin."""

from typing import Any
from uuid import UUID

from flask import Response, flash
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse
from wtforms import RadioField, SelectChoice, StringField

from admin_app import guards, paging, words
from admin_app.blueprint import admin, go, page, too_late
from admin_app.guards import needs
from clinic import names, sign_in, staff
from clinic.staff import Right, StaffRole
from tenancy.database import transaction
from tenancy.errors import Conflict, Refused
from ui.forms import EmailField, PorticoForm, at_most, one_of, required

ROLES = [SelectChoice(role.value, word) for role, (word, _may) in words.STAFF_ROLES.items()]


class RoleField(RadioField):
    """A radio button a role."""

    def __init__(self, **kwargs: Any) -> None:
        chosen = one_of(StaffRole, _l("Choose a role."))
        super().__init__(_l("Role"), [chosen], choices=ROLES, validate_choice=False, **kwargs)


class StaffInvitationForm(PorticoForm):
    name = StringField(_l("Name"), [required(_l("Enter a name.")), at_most(names.LONGEST)])
    email = EmailField(_l("E-mail"), [required(_l("Enter an e-mail address."))])
    role = RoleField()


class RoleForm(PorticoForm):
    role = RoleField()


@admin.get("/staff")
@needs(Right.ADMIN)
def staff_list() -> Response:
    place = paging.place()
    with transaction():
        found = staff.listed(after=place, limit=paging.ROWS + 1)
    rows, following = paging.cut(found)
    return page("admin/staff/list.html", rows=rows, place=place, following=following)


@admin.route("/staff/new", methods=["GET", "POST"])
@needs(Right.ADMIN, fresh=True)
def new_staff_member() -> AnyResponse:
    form = StaffInvitationForm()
    if form.validate_on_submit():
        try:
            with transaction():
                member = staff.invite(email=form.email.data, role=StaffRole(form.role.data), name=form.name.data)
        except Refused as refusal:
            form.refuse(refusal)
        else:
            flash(_("Invited. A letter with a link to choose a password is on its way."), "success")
            return go("staff_member", staff_member_id=member.id)
    return page("admin/staff/new.html", form=form)


@admin.get("/staff/<uuid:staff_member_id>")
@needs(Right.ADMIN, fresh=True)
def staff_member(staff_member_id: UUID) -> Response:
    return _member_page(staff_member_id)


@admin.post("/staff/<uuid:staff_member_id>/role")
@needs(Right.ADMIN, fresh=True)
def staff_member_role(staff_member_id: UUID) -> AnyResponse:
    form = RoleForm()
    if not form.validate_on_submit():
        return _member_page(staff_member_id, form)
    try:
        with transaction():
            staff.change_role(staff_member_id, StaffRole(form.role.data))
        flash(_("The role is saved."), "success")
    except Conflict as conflict:
        too_late(conflict)
    return go("staff_member", staff_member_id=staff_member_id)


@admin.post("/staff/<uuid:staff_member_id>/resending")
@needs(Right.ADMIN, fresh=True)
def staff_member_resending(staff_member_id: UUID) -> AnyResponse:
    try:
        with transaction():
            staff.invite_again(staff_member_id)
        flash(_("The invitation was sent again. Only the newest link works."), "success")
    except Conflict as conflict:
        too_late(conflict)
    return go("staff_member", staff_member_id=staff_member_id)


@admin.post("/staff/<uuid:staff_member_id>/password-reset")
@needs(Right.ADMIN, fresh=True)
def staff_member_password_reset(staff_member_id: UUID) -> AnyResponse:
    with transaction():
        member = staff.get(staff_member_id, lock=True)
        if member.may_sign_in:
            sign_in.mail_staff_reset(member)
    if member.may_sign_in:
        flash(_("A link to choose a new password was sent. It works for 30 minutes."), "success")
    else:
        flash(_("Only an active staff member has a password to reset."), "error")
    return go("staff_member", staff_member_id=staff_member_id)


@admin.post("/staff/<uuid:staff_member_id>/deactivation")
@needs(Right.ADMIN, fresh=True)
def staff_member_deactivation(staff_member_id: UUID) -> AnyResponse:
    try:
        with transaction():
            staff.deactivate(staff_member_id)
        flash(_("Deactivated. This person is signed out and cannot sign in."), "success")
    except Conflict as conflict:
        too_late(conflict)
    return go("staff_member", staff_member_id=staff_member_id)


@admin.post("/staff/<uuid:staff_member_id>/reactivation")
@needs(Right.ADMIN, fresh=True)
def staff_member_reactivation(staff_member_id: UUID) -> AnyResponse:
    try:
        with transaction():
            staff.reactivate(staff_member_id)
        flash(_("Reactivated, in the role they had before."), "success")
    except Conflict as conflict:
        too_late(conflict)
    return go("staff_member", staff_member_id=staff_member_id)


def _member_page(staff_member_id: UUID, form: RoleForm | None = None) -> Response:
    with transaction():
        row = staff.row_of(staff_member_id)
    return page(
        "admin/staff/staff_member.html",
        form=form or RoleForm(role=row.role),
        row=row,
        is_self=guards.person().id == row.id,
    )
