"""The two ceremonies of WebAuthn: making a passkey, and showing one."""

from dataclasses import dataclass

import webauthn
from flask_babel import lazy_gettext as _l
from sqlalchemy import select
from webauthn.helpers import parse_authentication_credential_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticationCredential,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from clinic import audit
from clinic.actors import Holder
from clinic.audit import Result
from clinic.passkeys import challenges
from clinic.passkeys.challenges import Challenge, Purpose, RelyingParty
from clinic.passkeys.rows import Passkey, check_name, count, of
from tenancy import clock, tenant
from tenancy.database import db, locked
from tenancy.errors import Refused

LONGEST_ANSWER, MOST = 16_000, 10
NOT_TAKEN = _l("This passkey could not be set up. Try once more, or use another device.")
# What the library lets through of an answer that is no answer at all.
_MALFORMED = (WebAuthnException, ValueError, TypeError, KeyError, AttributeError, IndexError)


@dataclass(frozen=True)
class Offer:
    """A challenge, and the options that the browser's own interface takes, as JSON."""

    challenge: Challenge
    options: str


def offer_new(holder: Holder, party: RelyingParty, email: str) -> Offer:
    """For `add`. Devices that have a passkey of this person already are asked not to make another."""
    challenge = challenges.issue(Purpose.ADD)
    options = webauthn.generate_registration_options(
        rp_id=party.host,
        rp_name=party.name,
        user_id=_handle(holder),
        user_name=f"{email} ({party.name})",
        user_display_name=email,
        challenge=challenge.value,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=_descriptors(holder, party),
    )
    return Offer(challenge, webauthn.options_to_json(options))


def offer(party: RelyingParty, purpose: Purpose, holder: Holder | None = None) -> Offer:
    """For `show`. Without a holder the person chooses among the passkeys that their device has for this host."""
    challenge = challenges.issue(purpose)
    options = webauthn.generate_authentication_options(
        rp_id=party.host,
        challenge=challenge.value,
        allow_credentials=_descriptors(holder, party) if holder else [],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return Offer(challenge, webauthn.options_to_json(options))


def add(holder: Holder, party: RelyingParty, challenge: Challenge | None, answer: str, name: str) -> Passkey:
    """Keep what the device made in answer to `offer_new`. The holder is locked. Raises Refused."""
    called = check_name(name)
    if count(holder) >= MOST:
        raise Refused(_l("You have ten passkeys, which is the most. Remove one first."))
    if challenge is None or len(answer) > LONGEST_ANSWER:
        raise Refused(NOT_TAKEN)
    try:
        made = webauthn.verify_registration_response(
            credential=answer,
            expected_challenge=challenge.value,
            expected_rp_id=party.host,
            expected_origin=party.origin,
            require_user_verification=True,
        )
    except _MALFORMED as fault:
        raise Refused(NOT_TAKEN) from fault
    if _find(made.credential_id):
        raise Refused(_l("This passkey is set up already."))
    passkey = Passkey(
        staff_member_id=holder.staff_member_id,
        portal_user_id=holder.portal_user_id,
        credential_id=made.credential_id,
        public_key=made.credential_public_key,
        sign_count=made.sign_count,
        host=party.host,
        name=called,
        created_at=clock.now(),
        challenged_at=challenge.issued_at,
    )
    db.session.add(passkey)
    db.session.flush()
    return passkey


def named_in(answer: str) -> bytes:
    """The passkey that an answer names; nothing if it is no answer."""
    credential = _parsed(answer)
    return credential.raw_id if credential else b""


def find_holder(answer: str) -> Holder | None:
    """Whose passkey an answer names, in the open clinic. It is not looked at further: lock the holder, then `show` it."""
    credential = _parsed(answer)
    passkey = _find(credential.raw_id) if credential else None
    return passkey.holder if passkey else None


def show(holder: Holder, party: RelyingParty, challenge: Challenge | None, answer: str) -> bool:
    """Whether this is a good answer of one of the holder's passkeys. The holder is locked.

    A counter that went back means a copy of the key: refused, and recorded.
    """
    credential = _parsed(answer)
    if credential is None or challenge is None:
        return False
    found = select(Passkey).where(of(holder), Passkey.credential_id == credential.raw_id, Passkey.host == party.host)
    passkey = db.session.scalars(locked(found)).one_or_none()
    if passkey is None or challenge.issued_at <= passkey.challenged_at:
        return False
    if credential.response.user_handle != _handle(holder) and not _may_be_unnamed(credential, challenge):
        return False
    try:
        shown = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=challenge.value,
            expected_rp_id=party.host,
            expected_origin=party.origin,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=0,  # compared below, once the signature is known to be the key's
            require_user_verification=True,
        )
    except _MALFORMED:
        return False
    if shown.new_sign_count <= passkey.sign_count and (shown.new_sign_count or passkey.sign_count):
        counts = [passkey.sign_count, shown.new_sign_count]
        audit.record("passkey.copy_suspected", subject_id=passkey.id, count=counts, result=Result.REFUSED)
        return False
    passkey.sign_count, passkey.last_used_at = shown.new_sign_count, clock.now()
    passkey.challenged_at = challenge.issued_at
    db.session.flush()
    return True


def _handle(holder: Holder) -> bytes:
    """How devices tell people apart at one host: 32 bytes that say nothing to anybody else. A device keeps one passkey a
    handle, so the clinic is in it: who works at two keeps two."""
    person = holder.staff_member_id or holder.portal_user_id
    assert person is not None
    return tenant.current_clinic_id().bytes + person.bytes


def _may_be_unnamed(credential: AuthenticationCredential, challenge: Challenge) -> bool:
    """A device that was told which passkeys to look for need not say whose it found."""
    return challenge.purpose is not Purpose.SIGN_IN and credential.response.user_handle is None


def _parsed(answer: str) -> AuthenticationCredential | None:
    if len(answer) > LONGEST_ANSWER:
        return None
    try:
        return parse_authentication_credential_json(answer)
    except _MALFORMED:
        return None


def _find(credential_id: bytes) -> Passkey | None:
    return db.session.scalars(select(Passkey).where(Passkey.credential_id == credential_id)).one_or_none()


def _descriptors(holder: Holder, party: RelyingParty) -> list[PublicKeyCredentialDescriptor]:
    made_here = select(Passkey.credential_id).where(of(holder), Passkey.host == party.host).order_by(Passkey.created_at)
    return [PublicKeyCredentialDescriptor(id=each) for each in db.session.scalars(made_here)]


