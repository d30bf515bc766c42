"""Finding people by the beginnings of words, fast under row security.

`LIKE` and `lower()` are not leakproof, so PostgreSQL would not use their indexes here; `>=` and `<` on plain text are.
A trigger keeps the words of every patient's and contact's `search_text` in this table.
"""

from uuid import UUID

from sqlalchemy import ForeignKey, Select, bindparam, select
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.database import Base, Folded


class SearchWord(Base):
    __tablename__ = "search_words"

    clinic_id: Mapped[UUID] = mapped_column(ForeignKey("clinics.id"), primary_key=True)
    word: Mapped[str] = mapped_column(Folded, primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(primary_key=True)  # a patient or a contact


def owners(word: str, name: str) -> Select[UUID]:
    """Ids of those with a word beginning with `word`; `name` keeps the bind parameters of several words apart."""
    return select(SearchWord.owner_id).where(
        SearchWord.word >= bindparam(f"{name}_from", word),
        SearchWord.word < bindparam(f"{name}_to", word + "\U0010ffff"),
    )
