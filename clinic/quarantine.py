"""Files that came while the virus scanner could not be asked: nobody gets one until it was looked at.

Every minute, file by file: read in one transaction, scanned in none, marked in another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from clinic import conversations, document_store, documents, virus_scanner
from clinic.virus_scanner import Scan
from tenancy import jobs
from tenancy.database import transaction
from tenancy.tenant import Role


@dataclass(frozen=True)
class Shelf:
    """Where files wait: their ids, the bytes of one, and what to note about it."""

    waiting: Callable[[], Sequence[UUID]]
    fetch: Callable[[UUID], bytes]
    note: Callable[[UUID, Scan], None]


SHELVES = (
    Shelf(documents.waiting_for_scan, document_store.fetch, documents.note_scan),
    Shelf(conversations.waiting_for_scan, conversations.fetch_attachment, conversations.note_scan),
)


@jobs.every_clinic("clinic.scan_waiting", "* * * * *", Role.STAFF)
def scan_waiting() -> None:
    """Ends with the first file that the scanner does not answer about: it is still down."""
    for shelf in SHELVES:
        with transaction():
            waiting = shelf.waiting()
        for file_id in waiting:
            with transaction():
                content = shelf.fetch(file_id)
            found = virus_scanner.scan(content)
            if found is Scan.WAITING:
                return
            with transaction():
                shelf.note(file_id, found)
