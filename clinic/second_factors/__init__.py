"""Second factors: what somebody must have, beside the password that they know.

An authenticator app or passkeys, with recovery codes for the day the phone is lost. This package answers which factors a person
has and whether a code is right; what follows from that (sessions, letters, the audit log) is `clinic/sign_in`'s.

Secrets and codes are readable in a transaction that acts for their holder alone (`tenant.become` with that person):
row security compares the holder with the person whose session it is.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select

from clinic import passkeys
from clinic.actors import Holder
from clinic.second_factors import authenticators, recovery_codes
from clinic.second_factors.rows import Authenticator, AuthenticatorSecret, RecoveryCode, of
from tenancy.database import db

__all__ = [
    "Authenticator",
    "AuthenticatorSecret",
    "FactorKind",
    "Factors",
    "RecoveryCode",
    "authenticators",
    "of_holder",
    "recovery_codes",
    "remove_all",
]


class FactorKind(StrEnum):
    AUTHENTICATOR = "authenticator"
    PASSKEY = "passkey"
    RECOVERY_CODE = "recovery_code"


@dataclass(frozen=True)
class Factors:
    """Which second factors somebody has. Recovery codes stand in for one; they are none."""

    authenticator_since: datetime | None
    passkeys: int = 0

    @property
    def exist(self) -> bool:
        return self.authenticator_since is not None or self.passkeys > 0


def of_holder(holder: Holder) -> Factors:
    """For the holder, the door, and the staff of their clinic."""
    since = select(Authenticator.added_at).where(of(holder, Authenticator)).scalar_subquery()
    return Factors(*db.session.execute(select(since, passkeys.how_many(holder))).one())


def remove_all(holder: Holder) -> None:
    """Every factor, and the codes that stood in for them."""
    authenticators.remove(holder)
    passkeys.remove_all(holder)
    recovery_codes.remove(holder)
