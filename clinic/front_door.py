"""Find my portal: a letter that lists every clinic where an address is a portal user.

No table links an address to clinics, so a job walks the directory and asks each clinic from the inside. The address
travels in the job sealed.
"""

import base64

from flask import current_app

from clinic import addresses, portal_users, throttle
from mail import delivery, rendering
from mail.delivery import Envelope, PermanentFault
from tenancy import clinics, jobs, keys
from tenancy.database import transaction
from tenancy.known_devices import Caller
from tenancy.languages import Language
from tenancy.settings import Settings
from tenancy.sites import portal_url
from tenancy.tenant import Role

FIND = "clinic.find_my_portal"
PURPOSE = "front-door"


def ask(email: str, language: Language, caller: Caller) -> None:
    """Enqueue the search, unless this address was asked about too often. The answer goes by mail only, in `language`.

    Raises Refused for what is no address; TooManyTries when the caller asks too often.
    """
    address = addresses.check_email(email)
    if not throttle.may_mail(throttle.Purpose.PORTAL_SEARCH, addresses.normalised(address), caller):
        return
    sealed = keys.seal_for_platform(address.encode(), purpose=PURPOSE)
    jobs.enqueue_outside_clinics(FIND, sealed=base64.b64encode(sealed).decode(), language=language)


@jobs.outside_clinics(FIND, retry=jobs.PATIENT)
def find(sealed: str, language: str = Language.ENGLISH) -> None:
    """Walk the directory, then send the letter. Retried as a whole under the same Message-ID."""
    settings: Settings = current_app.config["PORTICO"]
    address = keys.unseal_for_platform(base64.b64decode(sealed), purpose=PURPOSE).decode()
    portals = portals_of(address)
    page = rendering.page("find_my_portal", {"portals": portals, "clinic": None}, language=language)
    message_id = f"<{keys.digest(settings.master_key, sealed.encode()).hex()[:32]}@{settings.base}>"
    with delivery.connection() as server:
        try:
            delivery.send(server, page, Envelope(address, "Portico", message_id))
        except PermanentFault:
            return  # The address takes no letters; there is nobody to tell.


def portals_of(address: str) -> list[dict[str, str]]:
    """Name and address of each active clinic's portal where this e-mail may sign in or was invited."""
    settings: Settings = current_app.config["PORTICO"]
    with transaction():
        listed = clinics.in_directory()
    portals = []
    for clinic in listed:
        if not clinic.is_active:
            continue
        with clinics.open_clinic(clinic, Role.DOOR), transaction():
            user = portal_users.find_by_email(address)
        if user and not user.deactivated_at:
            portals.append({"name": clinic.name, "url": portal_url(settings, clinic.slug)})
    return portals
