"""Authenticator apps (TOTP, RFC 6238): six digits every 30 seconds; each code once, one step early or late at most.

Nothing is kept before it counts: the secret on offer follows from the token of the session that asks for it, and is
written down, sealed, when its first code was shown to be right.
"""

import base64
import hmac
from uuid import uuid4

import pyotp
from sqlalchemy import delete, select

from clinic.actors import Holder
from clinic.second_factors.rows import Authenticator, AuthenticatorSecret, of
from tenancy import clock, keys
from tenancy.database import db, locked

DIGITS = 6
STEP_SECONDS = 30
EARLY_OR_LATE = 1  # steps
SECRET_BYTES = 20
OFFER, SEAL = "authenticator-offer", "authenticator-secret"


def offered_secret(token: str) -> str:
    """The secret that this session may set up, base32: the same as often as its page is drawn, another in another
    session, and unknown to whoever lacks the cookie."""
    offered = keys.digest(keys.signing_key(OFFER), token.encode("utf-8", "surrogatepass"))
    return base64.b32encode(offered[:SECRET_BYTES]).decode()


def address(secret: str, *, clinic_name: str, email: str) -> str:
    """The otpauth: address that a QR code hands to the app."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=clinic_name)


def add(holder: Holder, secret: str, code: str) -> bool:
    """Keep this secret in place of the one before, if `code` shows that the app has it. The holder is locked."""
    step = _step_of(secret, code)
    if step is None:
        return False
    remove(holder)
    keep(holder, secret, last_step=step)
    return True


def keep(holder: Holder, secret: str, *, last_step: int) -> None:
    """Write an authenticator down whose holder is known to have it; its codes up to `last_step` are spent."""
    authenticator = Authenticator(
        id=uuid4(), staff_member_id=holder.staff_member_id, portal_user_id=holder.portal_user_id, added_at=clock.now()
    )
    db.session.add(authenticator)
    db.session.flush()
    db.session.add(
        AuthenticatorSecret(
            authenticator_id=authenticator.id,
            staff_member_id=holder.staff_member_id,
            portal_user_id=holder.portal_user_id,
            sealed=keys.seal(secret.encode(), purpose=SEAL, row_id=authenticator.id),
            last_step=last_step,
        )
    )
    db.session.flush()


def use(holder: Holder, code: str) -> bool:
    """Whether this is a code of the holder's app that was not used before; from now on it was."""
    kept = db.session.scalars(locked(select(AuthenticatorSecret).where(of(holder, AuthenticatorSecret)))).one_or_none()
    if kept is None:
        return False
    secret = keys.unseal(kept.sealed, purpose=SEAL, row_id=kept.authenticator_id).decode()
    step = _step_of(secret, code)
    if step is None or step <= kept.last_step:
        return False
    kept.last_step = step
    db.session.flush()
    return True


def remove(holder: Holder) -> bool:
    """Forget the app and its secret. Whether there was one."""
    removed = delete(Authenticator).where(of(holder, Authenticator)).returning(Authenticator.id)
    return db.session.scalars(removed).one_or_none() is not None


def step_now() -> int:
    return int(clock.now().timestamp()) // STEP_SECONDS


def _step_of(secret: str, code: str) -> int | None:
    """The step whose code this is, of those that are near enough."""
    digits, now = "".join(code.split()), step_now()
    one_time = pyotp.TOTP(secret)
    for step in range(now - EARLY_OR_LATE, now + EARLY_OR_LATE + 1):
        if hmac.compare_digest(one_time.at(step * STEP_SECONDS).encode(), digits.encode("utf-8", "surrogatepass")):
            return step
    return None
