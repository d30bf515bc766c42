"""Sends what waits in a clinic's outbox, as `portico_mailer`: that role reads this clinic's letters and little else."""

import logging
from dataclasses import dataclass

from flask import Blueprint, Flask, current_app
from flask_mail import Connection

from mail import delivery, letterhead, outbox, rendering
from mail.delivery import Envelope, PermanentFault, TemporaryFault
from mail.letterhead import Letterhead
from mail.outbox import OutgoingLetter
from tenancy import clinics, jobs
from tenancy.clinics import ClinicEntry
from tenancy.database import transaction
from tenancy.settings import Settings
from tenancy.tenant import Role

log = logging.getLogger(__name__)


MOST_BATCHES = 4


@dataclass(frozen=True)
class _Desk:
    """What writing this clinic's letters takes, read once a batch."""

    clinic: ClinicEntry
    letterhead: Letterhead
    signing_key: bytes


@jobs.in_clinic(outbox.DELIVER, Role.MAILER)
def deliver() -> None:
    """Send what is due in the open clinic, batch by batch; after MOST_BATCHES leave the rest to a job of its own, so
    that other clinics have their turn and a worker that is told to stop does so soon."""
    for _batch in range(MOST_BATCHES):
        if not _deliver_batch():
            return
    with transaction():
        outbox.announce()


@jobs.every_clinic("mail.deliver_due", "* * * * *", Role.MAILER)
def deliver_due() -> None:
    """Retries, and letters whose job was lost."""
    deliver()


def install(app: Flask, settings: Settings) -> None:
    """The templates of letters, and the server they go to."""
    app.register_blueprint(Blueprint("mail", "mail", template_folder="templates"))
    delivery.install(app, settings)


def _deliver_batch() -> bool:
    """Whether there was anything to send. No transaction is open while the network is used."""
    with transaction():
        batch = outbox.claim()
        desk = (
            _Desk(clinics.current(), letterhead.of_clinic(), rendering.signing_key()) if batch else None
        )
    if desk is None:
        return False
    try:
        with delivery.connection() as server:
            for row in batch:
                _deliver_one(server, row, desk)
    except TemporaryFault as fault:  # no server at all
        with transaction():
            for row in batch:
                outbox.put_off(row, str(fault))
    return True


def _deliver_one(server: Connection, row: OutgoingLetter, desk: _Desk) -> None:
    settings: Settings = current_app.config["PORTICO"]
    envelope = Envelope(row.to_address, desk.clinic.name, f"<{row.id}@{settings.base}>")
    try:
        page = rendering.written(row.letter, desk.clinic, desk.letterhead, desk.signing_key)
        delivery.send(server, page, envelope)
    except PermanentFault as fault:
        with transaction():
            outbox.mark_undelivered(row.id, str(fault))
    except TemporaryFault as fault:
        with transaction():
            outbox.put_off(row, str(fault))
    except Exception as error:  # one that cannot be written holds up none of the others
        log.exception("Letter %s cannot be written", row.id)
        with transaction():
            outbox.put_off(row, type(error).__name__)
    else:
        with transaction():
            outbox.mark_sent(row.id)
