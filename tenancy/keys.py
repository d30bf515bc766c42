"""A key per clinic, wrapped by the platform's master key; everything sealed at rest is sealed with it.

AES-256-GCM. What a sealed text is about (clinic, purpose, row) is authenticated with it, so bytes moved to another
row or clinic do not open. A key that cannot be unwrapped raises `Unreadable`.
"""

import hmac
import logging
import os
from hashlib import sha256
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import current_app
from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, mapped_column

from tenancy import tenant
from tenancy.database import Base, db

NONCE_BYTES = 12
log = logging.getLogger(__name__)


class Unreadable(Exception):
    """Sealed bytes that this clinic's key does not open."""


class ClinicKey(Base):
    __tablename__ = "clinic_keys"

    clinic_id: Mapped[UUID] = mapped_column(
        ForeignKey("clinics.id"), primary_key=True, default=tenant.current_clinic_id
    )
    wrapped: Mapped[bytes]


def make() -> None:
    """Give the open clinic its key. Once, at provisioning."""
    clinic_id = tenant.current_clinic_id()
    wrapped = _lock(_master_key(), AESGCM.generate_key(256), about=b"clinic-key:" + clinic_id.bytes)
    db.session.add(ClinicKey(wrapped=wrapped))


def seal(plain: bytes, *, purpose: str, row_id: UUID) -> bytes:
    """Encrypt for the open clinic; opens again only for the same purpose and row."""
    return _lock(_derived(purpose), plain, about=_about(purpose, row_id))


def unseal(sealed: bytes, *, purpose: str, row_id: UUID) -> bytes:
    """Raises Unreadable for bytes of another clinic, purpose or row: someone was at the database, or a key is lost."""
    try:
        return _unlock(_derived(purpose), sealed, about=_about(purpose, row_id))
    except Unreadable:
        log.critical("seal.broken: %s of %s, clinic %s", purpose, row_id, tenant.current_clinic_id())
        raise


def signing_key(purpose: str) -> bytes:
    """A 32-byte key of the open clinic for HMACs of one purpose."""
    return _derived(purpose)


def seal_for_platform(plain: bytes, *, purpose: str) -> bytes:
    """Encrypt what belongs to no clinic (a front-door request on its way to the worker)."""
    return _lock(_expand(_master_key(), purpose), plain, about=purpose.encode())


def unseal_for_platform(sealed: bytes, *, purpose: str) -> bytes:
    return _unlock(_expand(_master_key(), purpose), sealed, about=purpose.encode())


def platform_signing_key(purpose: str) -> bytes:
    """A 32-byte key for HMACs of one purpose that belong to no clinic."""
    return _expand(_master_key(), purpose)


def digest(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256, 32 bytes."""
    return hmac.new(key, message, sha256).digest()


def _about(purpose: str, row_id: UUID) -> bytes:
    return purpose.encode() + b":" + tenant.current_clinic_id().bytes + row_id.bytes


def _derived(purpose: str) -> bytes:
    clinic_id = tenant.current_clinic_id()
    wrapped = db.session.scalars(select(ClinicKey.wrapped)).one()
    data_key = _unlock(_master_key(), wrapped, about=b"clinic-key:" + clinic_id.bytes)
    return _expand(data_key, purpose)


def _expand(key: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(key)


def _master_key() -> bytes:
    key: bytes = current_app.config["PORTICO"].master_key
    return key


def _lock(key: bytes, plain: bytes, *, about: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, about)


def _unlock(key: bytes, sealed: bytes, *, about: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about)
    except (InvalidTag, ValueError) as error:  # ValueError: cut off before the nonce ends
        raise Unreadable("These bytes are not sealed with this key.") from error
