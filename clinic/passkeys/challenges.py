"""Challenges: what a device must sign to show that it is there now, at this door, for this purpose."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from tenancy import clock, sites
from tenancy.settings import Settings

LASTS = timedelta(minutes=5)
CHALLENGE_BYTES = 32


class Purpose(StrEnum):
    """What a challenge may be answered for."""

    ADD = "add"
    SIGN_IN = "sign_in"  # without a password: the device has recognised its owner, which is two factors
    FACTOR = "factor"  # after the password
    CONFIRM = "confirm"  # once more, before something sensitive


@dataclass(frozen=True)
class RelyingParty:
    """The door that a passkey is for: host without port, origin as browsers write it, name as people read it."""

    host: str
    origin: str
    name: str


@dataclass(frozen=True)
class Challenge:
    purpose: Purpose
    value: bytes
    issued_at: datetime

    @property
    def text(self) -> str:
        """What the browser's cookie keeps."""
        return f"{self.purpose} {bytes_to_base64url(self.value)} {self.issued_at.isoformat()}"


def relying_party(site: sites.Admin | sites.Portal, settings: Settings, name: str) -> RelyingParty:
    authority = sites.host_of(site, settings)
    return RelyingParty(authority.partition(":")[0], f"{settings.scheme}://{authority}", name)


def issue(purpose: Purpose) -> Challenge:
    return Challenge(purpose, secrets.token_bytes(CHALLENGE_BYTES), clock.now())


def read(kept: object, purpose: Purpose) -> Challenge | None:
    """A challenge out of the cookie, if it is for this purpose and young enough."""
    parts = str(kept).split(" ") if kept else []
    if len(parts) != 3 or parts[0] != purpose:
        return None
    challenge = Challenge(purpose, base64url_to_bytes(parts[1]), datetime.fromisoformat(parts[2]))
    return challenge if clock.now() - challenge.issued_at <= LASTS else None
