"""What every letter has: an addressee, and ids."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from tenancy.languages import Language
from tenancy.link_tokens import Purpose


@dataclass(frozen=True)
class Addressee:
    """Where a letter goes, and in which language it is written."""

    address: str
    language: str = Language.ENGLISH


@dataclass(frozen=True)
class Letter:
    kind: ClassVar[str]
    to: Addressee


@dataclass(frozen=True)
class LinkLetter(Letter):
    """A letter with a single-use link in it."""

    purpose: ClassVar[Purpose]
    link_id: UUID


@dataclass(frozen=True)
class SignInNotice(Letter):
    """To whoever signs in, staff or portal user, about their own sign-in. Holds no link, so that none can be imitated."""
