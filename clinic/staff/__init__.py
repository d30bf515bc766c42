"""Staff members, their roles, and the rights a role carries.

What each role may, on every page of the staff's face:

              records   sign documents   billing   set up, invite, staff
Admin         yes       yes              yes       yes
Billing       -         -                yes       -
Front desk    yes       -                -         -
Therapist     yes       yes              -         -

"Records" are patients, their contacts, appointments, documents and conversations. Signing is what puts a document
before a family, so it takes somebody who answers for what the document says.

Whoever loses a right loses it on the next request: a changed role and a deactivation end the member's sessions. A
clinic never loses its last active admin.
"""

from clinic.staff.people import RIGHTS, Right, StaffMember, StaffRole, StaffState
from clinic.staff.questions import (
    SignedInStaff,
    StaffRow,
    admins,
    find_by_email,
    find_signed_in,
    get,
    listed,
    row_of,
    with_right,
)
from clinic.staff.verbs import (
    change_role,
    deactivate,
    invite,
    invite_again,
    make_admin,
    reactivate,
    rename_self,
    send_invitation,
)

__all__ = [
    "RIGHTS",
    "Right",
    "SignedInStaff",
    "StaffMember",
    "StaffRole",
    "StaffRow",
    "StaffState",
    "admins",
    "change_role",
    "deactivate",
    "find_by_email",
    "find_signed_in",
    "get",
    "invite",
    "invite_again",
    "listed",
    "make_admin",
    "reactivate",
    "rename_self",
    "row_of",
    "send_invitation",
    "with_right",
]
