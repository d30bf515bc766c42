"""How a clinic looks: its name, accent colour and logo. A logo is re-encoded, so only pixels are kept."""

from hashlib import sha256
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import ForeignKey, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from clinic import audit, names, pictures
from tenancy import tenant
from tenancy.clinics import Clinic
from tenancy.database import Base, db
from tenancy.errors import NotFound, Refused

MOST_BYTES = 2 * 1024 * 1024
MOST_PIXELS = 25_000_000
SIDE = 256  # a logo is stored no larger than this square


class ClinicLogo(Base):
    __tablename__ = "clinic_logos"

    clinic_id: Mapped[UUID] = mapped_column(
        ForeignKey("clinics.id"), primary_key=True, default=tenant.current_clinic_id
    )
    png: Mapped[bytes]


def logo() -> bytes:
    """The open clinic's logo as PNG. Raises NotFound."""
    png = db.session.scalars(select(ClinicLogo.png)).one_or_none()
    if png is None:
        raise NotFound("logo")
    return png


def change(*, name: str, accent: str) -> None:
    """Raises Refused."""
    clinic = _clinic()
    name = names.check_name(name)
    if len(name) > 80:
        raise Refused(_l("The clinic's name can have at most 80 characters."), field="name")
    if not _is_colour(accent.lower()):
        raise Refused(_l("Choose a colour like #1f6f6b."), field="accent")
    before = [clinic.name, clinic.accent]
    clinic.name, clinic.accent = name, accent.lower()
    if before != [clinic.name, clinic.accent]:
        audit.record("clinic.changed", before=before, after=[clinic.name, clinic.accent])


def set_logo(content: bytes) -> None:
    """Raises Refused for what is no picture, too large, or a bomb."""
    png = _redrawn(content)
    db.session.execute(delete(ClinicLogo))
    db.session.add(ClinicLogo(png=png))
    _clinic().logo_version = sha256(png).hexdigest()[:16]
    db.session.flush()
    audit.record("logo.changed")


def remove_logo() -> None:
    db.session.execute(delete(ClinicLogo))
    _clinic().logo_version = None
    audit.record("logo.removed")


def _redrawn(content: bytes) -> bytes:
    if len(content) > MOST_BYTES:
        raise Refused(_l("A logo can have at most 2 MB."), field="logo")
    no_picture = Refused(_l("Choose a PNG, JPEG or WebP picture."), field="logo")
    picture = pictures.opened(
        content, formats=("PNG", "JPEG", "WEBP"), most_pixels=MOST_PIXELS, no_picture=no_picture
    ).convert("RGBA")
    picture.thumbnail((SIDE, SIDE))
    return pictures.as_png(picture)


def _is_colour(text: str) -> bool:
    return len(text) == 7 and text[0] == "#" and all(digit in "0123456789abcdef" for digit in text[1:])


def _clinic() -> Clinic:
    return db.session.scalars(
        select(Clinic).where(Clinic.id == tenant.current_clinic_id()).with_for_update(key_share=True)
    ).one()
