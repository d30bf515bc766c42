"""Every letter we can ever send, one frozen dataclass each.

A letter carries ids only, beside its addressee. What it says is written when it is sent, from the clinic's present name and address, so no
text of a letter ever lies in the database, and nothing about a patient can get into one.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any
from uuid import UUID

from mail.letters.letter import Addressee, Letter, LinkLetter, SignInNotice
from mail.letters.money import (
    AutopayAnnounced,
    AutopayStopped,
    DisputeOpened,
    InvoiceMailed,
    PaymentFailed,
    PaymentProblemFound,
    ReceiptWaits,
    RefundMade,
)
from tenancy.link_tokens import Purpose

__all__ = [
    "KINDS",
    "Addressee",
    "AutopayAnnounced",
    "AutopayStopped",
    "DisputeOpened",
    "InvoiceMailed",
    "Letter",
    "LinkLetter",
    "PaymentFailed",
    "PaymentProblemFound",
    "ReceiptWaits",
    "RefundMade",
    "SignInNotice",
    "ids_in",
    "restored",
]


@dataclass(frozen=True)
class StaffInvitation(LinkLetter):
    kind = "staff_invitation"
    purpose = Purpose.STAFF_INVITATION


@dataclass(frozen=True)
class PortalInvitation(LinkLetter):
    kind = "portal_invitation"
    purpose = Purpose.INVITATION


@dataclass(frozen=True)
class PasswordReset(LinkLetter):
    kind = "password_reset"
    purpose = Purpose.PASSWORD_RESET


@dataclass(frozen=True)
class StaffPasswordReset(LinkLetter):
    kind = "staff_password_reset"
    purpose = Purpose.STAFF_PASSWORD_RESET


@dataclass(frozen=True)
class ReplyToConfirmation(LinkLetter):
    kind = "reply_to_confirmation"
    purpose = Purpose.REPLY_TO


@dataclass(frozen=True)
class SignInReset(LinkLetter):
    """To a portal user without their second factor, whom the clinic lets set up their sign-in anew."""

    kind = "sign_in_reset"
    purpose = Purpose.SIGN_IN_RESET


@dataclass(frozen=True)
class StaffSignInReset(LinkLetter):
    kind = "staff_sign_in_reset"
    purpose = Purpose.STAFF_SIGN_IN_RESET


@dataclass(frozen=True)
class SecondFactorAdded(SignInNotice):
    kind = "second_factor_added"


@dataclass(frozen=True)
class SecondFactorRemoved(SignInNotice):
    kind = "second_factor_removed"


@dataclass(frozen=True)
class RecoveryCodesRenewed(SignInNotice):
    kind = "recovery_codes_renewed"


@dataclass(frozen=True)
class RecoveryCodeUsed(SignInNotice):
    kind = "recovery_code_used"


@dataclass(frozen=True)
class AccessAdded(Letter):
    """An existing portal user may see another patient from now on."""

    kind = "access_added"


@dataclass(frozen=True)
class RecordsEnded(Letter):
    """To a caregiver: a patient of theirs came of age, so they no longer see the records."""

    kind = "records_ended"


@dataclass(frozen=True)
class ComingOfAge(Letter):
    """To the clinic's admins: there is a patient who will be of age within 30 days; who, only the staff pages say."""

    kind = "coming_of_age"


@dataclass(frozen=True)
class PasswordChanged(Letter):
    """To a portal user whose password was just set anew."""

    kind = "password_changed"


@dataclass(frozen=True)
class StaffPasswordChanged(Letter):
    kind = "staff_password_changed"


@dataclass(frozen=True)
class StaffRoleChanged(Letter):
    """To a staff member: an admin gave them another role; which one, only the pages say."""

    kind = "staff_role_changed"


@dataclass(frozen=True)
class StaffDeactivated(Letter):
    kind = "staff_deactivated"


@dataclass(frozen=True)
class StaffReactivated(Letter):
    kind = "staff_reactivated"


@dataclass(frozen=True)
class EmailConfirmation(LinkLetter):
    """To the address that a portal user wants to sign in with from now on."""

    kind = "email_confirmation"
    purpose = Purpose.EMAIL_CHANGE


@dataclass(frozen=True)
class EmailChangeAsked(Letter):
    """To the present address: another was asked for, and nothing has changed yet."""

    kind = "email_change_asked"


@dataclass(frozen=True)
class EmailChanged(Letter):
    """To the address that signs in no more."""

    kind = "email_changed"


@dataclass(frozen=True)
class EmailInUse(Letter):
    """To a portal user whose address somebody else asked to sign in with."""

    kind = "email_in_use"


@dataclass(frozen=True)
class StaffEmailConfirmation(LinkLetter):
    kind = "staff_email_confirmation"
    purpose = Purpose.STAFF_EMAIL_CHANGE


@dataclass(frozen=True)
class StaffEmailChangeAsked(Letter):
    kind = "staff_email_change_asked"


@dataclass(frozen=True)
class StaffEmailChanged(Letter):
    kind = "staff_email_changed"


@dataclass(frozen=True)
class StaffEmailInUse(Letter):
    kind = "staff_email_in_use"


@dataclass(frozen=True)
class MessageWaiting(Letter):
    """To a portal user: the clinic wrote to them on the portal; about whom or what, only the portal says."""

    kind = "message_waiting"


@dataclass(frozen=True)
class PaymentsOn(Letter):
    """To the clinic's admins: Stripe lets families pay online, for the first time or again."""

    kind = "payments_on"


@dataclass(frozen=True)
class PaymentsPaused(Letter):
    """To the clinic's admins: Stripe wants to know more before anybody can pay online again."""

    kind = "payments_paused"


@dataclass(frozen=True)
class PaymentsDisconnected(Letter):
    """To the clinic's admins: the clinic's Stripe account is no longer connected."""

    kind = "payments_disconnected"


@dataclass(frozen=True)
class InvitationLocked(Letter):
    """To the clinic's admins: someone missed the birth date too often."""

    kind = "invitation_locked"
    portal_user_id: UUID


KINDS: dict[str, type[Letter]] = {
    letter.kind: letter
    for letter in (
        StaffInvitation,
        PortalInvitation,
        PasswordReset,
        StaffPasswordReset,
        ReplyToConfirmation,
        SignInReset,
        StaffSignInReset,
        SecondFactorAdded,
        SecondFactorRemoved,
        RecoveryCodesRenewed,
        RecoveryCodeUsed,
        AccessAdded,
        RecordsEnded,
        ComingOfAge,
        PasswordChanged,
        StaffPasswordChanged,
        StaffRoleChanged,
        StaffDeactivated,
        StaffReactivated,
        EmailConfirmation,
        EmailChangeAsked,
        EmailChanged,
        EmailInUse,
        StaffEmailConfirmation,
        StaffEmailChangeAsked,
        StaffEmailChanged,
        StaffEmailInUse,
        MessageWaiting,
        PaymentsOn,
        PaymentsPaused,
        PaymentsDisconnected,
        InvitationLocked,
        InvoiceMailed,
        ReceiptWaits,
        PaymentFailed,
        RefundMade,
        AutopayAnnounced,
        AutopayStopped,
        DisputeOpened,
        PaymentProblemFound,
    )
}


def ids_in(letter: Letter) -> dict[str, str]:
    """What of a letter is stored beside its kind and address: ids."""
    return {name: str(value) for name, value in asdict(letter).items() if name != "to"}


def restored(kind: str, to: Addressee, ids: dict[str, Any]) -> Letter:
    """The letter that `ids_in` was taken from."""
    made = KINDS[kind]
    return made(to=to, **{field.name: UUID(ids[field.name]) for field in fields(made) if field.name != "to"})
