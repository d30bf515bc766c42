"""Who may pay for whom: a portal user who can sign in, with live access to the patient's billing; and who follows a good link."""

from typing import Any

from sqlalchemy import ColumnElement, exists

from clinic.billing_settings import BillingSettings
from clinic.invoices import InvoiceMailing
from clinic.mailed_invoices import IS_GOOD
from clinic.portal_users import IS_LIVE, PortalAccess, PortalUser


def may_pay(row: Any) -> ColumnElement[bool]:
    """Of a row with a portal user and a patient: whether that portal user still may."""
    return exists().where(
        PortalAccess.clinic_id == row.clinic_id,
        PortalAccess.portal_user_id == row.portal_user_id,
        PortalAccess.patient_id == row.patient_id,
        PortalAccess.billing,
        IS_LIVE,
        PortalUser.clinic_id == row.clinic_id,
        PortalUser.id == row.portal_user_id,
        PortalUser.deactivated_at.is_(None),
    )


def may_pay_by_link(row: Any) -> ColumnElement[bool]:
    """Of a row with a mailing: whether its link is still good, and the clinic lets links pay."""
    return exists().where(
        InvoiceMailing.clinic_id == row.clinic_id,
        InvoiceMailing.id == row.mailing_id,
        IS_GOOD,
        BillingSettings.clinic_id == row.clinic_id,
        BillingSettings.pays_by_link,
    )
