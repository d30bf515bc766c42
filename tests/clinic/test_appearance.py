"""Lost if it fails: a picture that runs or weighs a gigabyte is shown to every family, or a clinic wears another's logo."""

import io
import zlib

import pytest
from flask import Flask
from PIL import Image
from sqlalchemy import select

from clinic import appearance, demo, demo_papers
from clinic.audit import AuditEntry
from tenancy import clinics
from tenancy.database import db
from tenancy.errors import NotFound, Refused
from tests.inside import acting, inside
from tests.visitor import Visitor


def picture(kind: str, size: tuple[int, int] = (900, 300), **options: object) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, "#336699").save(written, kind, **options)
    return written.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A PNG of some bytes that claims to be huge."""
    def chunk(name: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_logo_is_drawn_anew_and_small(app: Flask, kind: str) -> None:
    with inside(app, demo.ELM):
        appearance.set_logo(picture(kind))
        with Image.open(io.BytesIO(appearance.logo())) as drawn:
            assert (drawn.format, drawn.size) == ("PNG", (256, 85))


def test_only_pixels_are_kept(app: Flask) -> None:
    """Where a photo was taken, or a script hidden behind it, does not reach the families."""
    exif = Image.Exif()
    exif[0x010E] = "CNRY-home-address"
    with inside(app, demo.ELM):
        appearance.set_logo(picture("JPEG", exif=exif) + b"<script>alert(1)</script>")
        kept = appearance.logo()
    assert b"CNRY" not in kept and b"script" not in kept


@pytest.mark.parametrize(
    "content",
    [b"", b"no picture", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", picture("GIF"), picture("BMP"), picture("PNG")[:60],
     png_of(30_000, 30_000), b"\x89PNG\r\n\x1a\n" + b"x" * (2 * 1024 * 1024)],
    ids=["empty", "text", "svg", "gif", "bmp", "cut off", "bomb", "too heavy"],
)  # fmt: skip
def test_what_is_no_picture_or_too_much_of_one_is_refused(app: Flask, content: bytes) -> None:
    with inside(app, demo.ELM):
        before = appearance.logo()
        with pytest.raises(Refused) as refusal:
            appearance.set_logo(content)
        assert refusal.value.field == "logo"
        assert appearance.logo() == before


def test_a_new_logo_has_a_new_address_and_the_old_one_is_gone(app: Flask, portal: Visitor) -> None:
    """Browsers keep logos for good, so a changed one must be asked for anew."""
    with inside(app, demo.ELM) as elm:
        old = elm.logo_version
        appearance.set_logo(picture("PNG"))
        new = clinics.current().logo_version
    assert old != new
    assert portal.get(f"/logo/{new}.png").mimetype == "image/png"
    assert portal.get(f"/logo/{old}.png").status_code == 404
    with inside(app, demo.ELM):
        appearance.remove_logo()
        with pytest.raises(NotFound):
            appearance.logo()
    assert portal.get(f"/logo/{new}.png").status_code == 404
    assert portal.get("/sign-in").status_code == 200


def test_each_clinic_wears_its_own(app: Flask) -> None:
    logos = []
    for slug in (demo.ELM, demo.OAK):
        with inside(app, slug):
            logos.append(appearance.logo())
    assert logos[0] != logos[1]


@pytest.mark.parametrize(
    ("name", "accent", "field"),
    [("", "#1f6f6b", "name"), ("x" * 81, "#1f6f6b", "name"), ("Elm\nStreet\x00", "#1f6f6b", "name"), ("Elm =?x?=", "#1f6f6b", "name"),
     ("Elm", "red", "accent"), ("Elm", "#12345", "accent"), ("Elm", "#12345g", "accent"), ("Elm", "#fff;}*{", "accent"), ("Elm", "", "accent")],
)  # fmt: skip
def test_a_name_or_colour_that_could_break_a_letter_or_a_page_is_refused(app: Flask, name: str, accent: str, field: str) -> None:
    with pytest.raises(Refused) as refusal, inside(app, demo.ELM):
        appearance.change(name=name, accent=accent)
    assert refusal.value.field == field


def test_a_change_shows_everywhere_and_is_recorded(app: Flask, portal: Visitor) -> None:
    with inside(app, demo.ELM), acting("ana@elm.example"):
        appearance.change(name="Elm Lane <Therapy>", accent="#AA3300")
        entry = db.session.scalars(select(AuditEntry).where(AuditEntry.event == "clinic.changed").order_by(AuditEntry.at.desc())).first()
        assert entry is not None
        assert entry.details == {"before": ["Elm Street Therapy", "#1f6f6b"], "after": ["Elm Lane <Therapy>", "#aa3300"]}
    page = portal.read("/sign-in")
    assert "Elm Lane &lt;Therapy&gt;" in page and "/static/accent/aa3300.css" in page
    with inside(app, demo.OAK) as oak:
        assert oak.name == "Oak Hill Pediatrics"


def test_the_demos_own_logo_is_a_picture() -> None:
    with Image.open(io.BytesIO(demo_papers.logo("E", "#1f6f6b"))) as drawn:
        assert drawn.size == (256, 256)
