"""Admin → Basic Setup → Clinic Options: everything that is set for the clinic as a whole, read-only."""

from flask import Response

from admin_app.billing_settings import refund_limit
from admin_app.blueprint import admin, clinic_here, page, settings
from admin_app.guards import needs
from clinic import billing_settings, document_types, payment_processing, portal_settings
from clinic.staff import Right
from mail import letterhead
from tenancy.database import transaction
from tenancy.sites import portal_url


@admin.get("/clinic-options")
@needs(Right.ADMIN)
def clinic_options() -> Response:
    with transaction():
        kept = portal_settings.get()
        head = letterhead.of_clinic()
        types = document_types.listed()
        account = payment_processing.find_present()
        bills = billing_settings.get()
    return page(
        "admin/clinic_options/clinic_options.html",
        kept=kept,
        head=head,
        types=types,
        takes_payments=account is not None and account.charges_enabled,
        bills=bills,
        refund_limit=refund_limit(bills),
        address=portal_url(settings(), clinic_here().slug),
    )
