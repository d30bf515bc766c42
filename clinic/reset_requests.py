"""Asking for a link by mail: what the request does is the same for every address; a job finds out whose it is.

The address travels in the job sealed, so that neither the time nor the queue tells who is known here.
"""

import base64
from uuid import UUID, uuid4

from clinic import addresses, sign_in
from tenancy import jobs, keys
from tenancy.database import transaction
from tenancy.tenant import Role

MAIL = "clinic.mail_reset"
PURPOSE = "reset-request"


def ask(email: str, *, of_staff: bool) -> None:
    """Enqueue the letter. Its answer goes by mail only."""
    request_id = uuid4()
    sealed = keys.seal(addresses.normalised(email).encode(), purpose=PURPOSE, row_id=request_id)
    jobs.enqueue(MAIL, request_id=str(request_id), sealed=base64.b64encode(sealed).decode(), of_staff=of_staff)


@jobs.in_clinic(MAIL, Role.DOOR, retry=jobs.PATIENT)
def mail(request_id: str, sealed: str, of_staff: bool) -> None:
    """Mail a link to whoever the address belongs to, if anybody."""
    with transaction():
        email = keys.unseal(base64.b64decode(sealed), purpose=PURPOSE, row_id=UUID(request_id)).decode()
        sign_in.ask_for_reset(email, of_staff=of_staff)
