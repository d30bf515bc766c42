"""Portal users, and which patients each may see.

One portal user per clinic and address, made when a contact is invited. Access is a row per (portal user, patient):
records and billing apart, with its start, its end, who gave it and who ended it. Row security reads the same rows, so
ending one works on the next request everywhere.
"""

from clinic.portal_users.people import IS_LIVE, PortalAccess, PortalUser, PortalUserState
from clinic.portal_users.questions import (
    AccessRow,
    PortalUserRow,
    SignedInPortalUser,
    access_of,
    access_to,
    count_unaccepted,
    find_by_email,
    find_signed_in,
    get,
    row_of,
    search,
    sees_records,
)
from clinic.portal_users.verbs import change_self, deactivate, reactivate, unlink

__all__ = [
    "IS_LIVE",
    "AccessRow",
    "PortalAccess",
    "PortalUser",
    "PortalUserRow",
    "PortalUserState",
    "SignedInPortalUser",
    "access_of",
    "access_to",
    "change_self",
    "count_unaccepted",
    "deactivate",
    "find_by_email",
    "find_signed_in",
    "get",
    "reactivate",
    "row_of",
    "search",
    "sees_records",
    "unlink",
]
