"""Where a mailed invoice leads: to the clinic's name and the amount. Everything else is behind the door."""

from typing import Any

from flask import render_template

from clinic import mailed_invoices
from portal_app import mailed_links
from tenancy.database import transaction
from tenancy.errors import NotFound
from tenancy.link_tokens import Purpose
from ui.doors import open_page


@open_page
def show() -> Any:
    try:
        with transaction():
            state, found = mailed_invoices.look(mailed_links.secret_of(Purpose.INVOICE))
    except NotFound:
        return mailed_links.incomplete(Purpose.INVOICE)
    if found is None:
        return mailed_links.no_longer_good(Purpose.INVOICE, state)
    return render_template("portal/mailed_invoices/invoice.html", found=found)
