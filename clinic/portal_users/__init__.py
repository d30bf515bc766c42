"""Portal users, and which patients each may see.

One portal user per clinic and address, made when a contact is invited. Access is a row per (portal user, patient):
records and billing apart, with its start, its end, who gave it and who ended it. It may have an agreed end, be
suspended by a custody block or a hold (clinic/access_holds.py), and shows no records once the patient is of age
(clinic/coming_of_age.py). Row security reads the same rows, so each of these works on the next request everywhere.
"""

from clinic.portal_users.access import (
    END_CHECKOUTS,
    AccessDetails,
    change_access,
    end_of,
    last_day,
    mark_guardian,
    unlink,
)
from clinic.portal_users.people import (
    AT_ANY_AGE,
    HOLD_IS_IN_FORCE,
    IS_LIVE,
    LONGEST_REASON,
    SEES_RECORDS,
    SEES_SOMETHING,
    AccessHold,
    HoldKind,
    PortalAccess,
    PortalUser,
    PortalUserState,
)
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
    row_of_access,
    search,
    sees_records,
)
from clinic.portal_users.verbs import change_self, deactivate, reactivate

__all__ = [
    "AT_ANY_AGE",
    "END_CHECKOUTS",
    "HOLD_IS_IN_FORCE",
    "IS_LIVE",
    "LONGEST_REASON",
    "SEES_RECORDS",
    "SEES_SOMETHING",
    "AccessDetails",
    "AccessHold",
    "AccessRow",
    "HoldKind",
    "PortalAccess",
    "PortalUser",
    "PortalUserRow",
    "PortalUserState",
    "SignedInPortalUser",
    "access_of",
    "access_to",
    "change_access",
    "change_self",
    "count_unaccepted",
    "deactivate",
    "end_of",
    "find_by_email",
    "find_signed_in",
    "get",
    "last_day",
    "mark_guardian",
    "reactivate",
    "row_of",
    "row_of_access",
    "search",
    "sees_records",
    "unlink",
]
