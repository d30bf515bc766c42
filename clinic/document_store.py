"""Where documents' bytes lie: sealed with the clinic's key, bound to their document, under the same row security."""

from uuid import UUID

from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, mapped_column

from tenancy import keys, tenant
from tenancy.database import Base, db, same_clinic
from tenancy.errors import NotFound

PURPOSE = "documents"


class DocumentContent(Base):
    __tablename__ = "document_contents"
    __table_args__ = (same_clinic("document_id", "documents", on_delete="CASCADE"),)

    clinic_id: Mapped[UUID] = mapped_column(
        ForeignKey("clinics.id"), primary_key=True, default=tenant.current_clinic_id
    )
    document_id: Mapped[UUID] = mapped_column(primary_key=True)
    sealed: Mapped[bytes]


def put(document_id: UUID, plain: bytes) -> None:
    """Keep a document's bytes; what was kept before is replaced."""
    sealed = keys.seal(plain, purpose=PURPOSE, row_id=document_id)
    db.session.merge(DocumentContent(clinic_id=tenant.current_clinic_id(), document_id=document_id, sealed=sealed))
    db.session.flush()


def fetch(document_id: UUID) -> bytes:
    """Raises NotFound; keys.Unreadable where the bytes were tampered with."""
    sealed = db.session.scalars(
        select(DocumentContent.sealed).where(DocumentContent.document_id == document_id)
    ).one_or_none()
    if sealed is None:
        raise NotFound("document")
    return keys.unseal(sealed, purpose=PURPOSE, row_id=document_id)
