"""Document types: the six every clinic starts with, the clinic's own, and which of them the portal shows."""

from dataclasses import dataclass
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import Index, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from clinic import audit
from tenancy.database import Base, ClinicOwned, db, text_up_to
from tenancy.errors import NotFound, Refused

LONGEST = 60
# In the order the settings page lists them; none is visible until the clinic says so.
FROM_THE_START = (
    "Daily Note",
    "Initial Evaluation",
    "Progress Note",
    "Re-Assessment",
    "Plan of Care",
    "Discharge Summary",
)


class DocumentType(ClinicOwned, Base):
    __tablename__ = "document_types"
    __table_args__ = (
        text_up_to("name", LONGEST),
        Index("uq_document_types_name", "clinic_id", "name", unique=True),
    )
    name: Mapped[str]
    position: Mapped[int]
    is_visible_on_portal: Mapped[bool] = mapped_column(default=False)


@dataclass(frozen=True)
class TypeRow:
    id: UUID
    name: str
    is_visible_on_portal: bool


_ROWS = select(DocumentType.id, DocumentType.name, DocumentType.is_visible_on_portal).order_by(
    DocumentType.position, DocumentType.name
)


def listed() -> list[TypeRow]:
    """All of the clinic's types, in its order."""
    return [TypeRow(*row) for row in db.session.execute(_ROWS)]


def get(type_id: UUID) -> DocumentType:
    """Raises NotFound."""
    found = db.session.scalars(select(DocumentType).where(DocumentType.id == type_id)).one_or_none()
    if found is None:
        raise NotFound("document type")
    return found


def stock() -> None:
    """Give a new clinic the types every clinic starts with."""
    for position, name in enumerate(FROM_THE_START):
        db.session.add(DocumentType(name=name, position=position))
    db.session.flush()


def add(name: str) -> DocumentType:
    """One of the clinic's own; hidden until made visible. Raises Refused."""
    last = db.session.scalars(select(func.coalesce(func.max(DocumentType.position), 0))).one()
    added = DocumentType(name=_checked(name), position=last + 1)
    _store(added)
    audit.record("document_type.added", subject_id=added.id)
    return added


def rename(type_id: UUID, name: str) -> None:
    """Raises NotFound, Refused."""
    found = get(type_id)
    found.name = _checked(name)
    _store(found)
    audit.record("document_type.renamed", subject_id=found.id)


def show_only(type_ids: set[UUID]) -> tuple[list[str], list[str]]:
    """Make exactly these visible on the portal; returns the visible names before and after. Raises Refused."""
    types = list(db.session.scalars(select(DocumentType).order_by(DocumentType.id).with_for_update(key_share=True)))
    if not type_ids <= {each.id for each in types}:
        raise Refused(_l("Choose from the document types listed."), field="document_types")
    before = [each.name for each in types if each.is_visible_on_portal]
    for each in types:
        each.is_visible_on_portal = each.id in type_ids
    return before, [each.name for each in types if each.is_visible_on_portal]


def _checked(name: str) -> str:
    plain = " ".join(name.split())
    if not 1 <= len(plain) <= LONGEST:
        raise Refused(_l("A document type's name must have 1 to 60 characters."), field="name")
    return plain


def _store(row: DocumentType) -> None:
    try:
        with db.session.begin_nested():
            db.session.add(row)
            db.session.flush()
    except IntegrityError as error:
        raise Refused(_l("There is a document type of this name already."), field="name") from error
