"""Reset sign-in: an admin lets a portal user or a colleague, who lost the second factor, set up their sign-in anew.

A link goes to the person by mail; the code that it asks for is shown here, to be told.
"""

from collections.abc import Callable
from uuid import UUID

from flask import redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from admin_app.blueprint import admin, page, too_late
from admin_app.guards import needs
from clinic import portal_users, sign_in, staff
from clinic.actors import Holder
from clinic.staff import Right
from tenancy.database import transaction
from tenancy.errors import Conflict
from ui.factor_forms import ButtonForm


@admin.route("/portal-users/<uuid:portal_user_id>/sign-in-reset", methods=["GET", "POST"])
@needs(Right.ADMIN, fresh=True)
def portal_user_sign_in_reset(portal_user_id: UUID) -> AnyResponse:
    back = url_for("admin.portal_user", portal_user_id=portal_user_id)
    return _reset(Holder(portal_user_id=portal_user_id), lambda: portal_users.row_of(portal_user_id).name, back)


@admin.route("/staff/<uuid:staff_member_id>/sign-in-reset", methods=["GET", "POST"])
@needs(Right.ADMIN, fresh=True)
def staff_member_sign_in_reset(staff_member_id: UUID) -> AnyResponse:
    back = url_for("admin.staff_member", staff_member_id=staff_member_id)
    return _reset(Holder(staff_member_id=staff_member_id), lambda: staff.row_of(staff_member_id).name, back)


def _reset(holder: Holder, name_of: Callable[[], str], back: str) -> AnyResponse:
    form = ButtonForm()
    if form.validate_on_submit():
        try:
            with transaction():
                sign_in.start_reset(holder)
        except Conflict as conflict:
            too_late(conflict)
            return redirect(back, 303)
        return redirect(request.path, 303)
    with transaction():
        name, opened = name_of(), sign_in.find_open_reset(holder)
    is_staff = holder.staff_member_id is not None
    return page("admin/sign_in_resets/reset.html", form=form, name=name, opened=opened, back=back, is_staff=is_staff)
