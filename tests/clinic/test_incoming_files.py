"""Lost if it fails: a program comes into the clinic as a scan, or a family's scan is turned away for no reason."""

import io

import pikepdf
import pytest
from PIL import Image

from clinic import demo_papers, incoming_files, pdf_files
from clinic.incoming_files import JPEG, MOST_BYTES, PDF, PNG, take
from tenancy.errors import Refused
from tests.clinic import files

pytestmark = pytest.mark.usefixtures("in_app")
PAGE = demo_papers.pdf("A page", [])


def refused(name: str, content: bytes) -> str:
    with pytest.raises(Refused) as refusal:
        take(name, content)
    assert refusal.value.field == "file"
    return str(refusal.value.message)


@pytest.mark.parametrize(
    ("name", "content", "kept_as", "media_type"),
    [
        ("scan.pdf", PAGE, "scan.pdf", PDF),
        ("SCAN.PDF", files.pdf(pages=200), "SCAN.pdf", PDF),
        ("newer.pdf", files.pdf(object_stream_mode=pikepdf.ObjectStreamMode.generate), "newer.pdf", PDF),
        ("knee.png", files.picture("PNG"), "knee.png", PNG),
        ("knee.jpeg", files.picture("JPEG"), "knee.jpg", JPEG),
        ("image", files.picture("JPEG"), "image.jpg", JPEG),  # some phones name no kind
    ],
)
def test_an_honest_file_is_taken(name: str, content: bytes, kept_as: str, media_type: str) -> None:
    taken = take(name, content)
    assert (taken.name, taken.media_type) == (kept_as, media_type)
    if media_type == PDF:
        assert taken.content == content, "what was signed must be what was sent"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"<html><script>alert(1)</script>", "PDF, PNG or JPEG"),
        (b"<?xml version='1.0'?><svg onload='alert(1)'/>", "PDF, PNG or JPEG"),
        (files.archive("word/vbaProject.bin"), "PDF, PNG or JPEG"),
        (b"MZ\x90\x00", "PDF, PNG or JPEG"),
        (b" %PDF-1.4", "PDF, PNG or JPEG"),
        (b"\xef\xbb\xbf%PDF-1.4", "PDF, PNG or JPEG"),
        (b"GIF89a", "PDF, PNG or JPEG"),
        (files.EICAR, "PDF, PNG or JPEG"),
        (PAGE + b"x" * MOST_BYTES, "at most 20 MB"),
        (PAGE + files.archive(), "something else attached"),
        (files.archive() + PAGE, "PDF, PNG or JPEG"),
        (PAGE.replace(b"%%EOF", files.archive() + b"\n%%EOF"), "something else attached"),
        (PAGE + b"<script>alert(1)</script>", "something else attached"),
        (b"%PDF-1.4 a page", "damaged"),
        (PAGE[:-60], "damaged"),
        (files.pdf_that_unpacks_to(100), "damaged"),
        (files.pdf(encryption=pikepdf.Encryption(owner="x", user="y")), "locked"),
        (files.pdf(encryption=pikepdf.Encryption(owner="x", user="")), "locked"),
        (files.pdf(files.runs_a_script), "script or an action"),
        (files.pdf(files.runs_a_script_on_a_page), "script or an action"),
        (files.pdf(files.starts_a_program), "script or an action"),
        (files.pdf(files.sends_itself), "script or an action"),
        (files.pdf(files.is_a_form_of_xml), "script or an action"),
        (files.pdf(files.carries_a_file), "carries other files"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value[:8]),
)
def test_what_may_do_harm_is_refused_with_what_to_do(content: bytes, says: str) -> None:
    assert says in refused("scan.pdf", content)


def test_a_name_spelled_round_the_corner_is_read_as_readers_read_it() -> None:
    plain = files.pdf(files.runs_a_script)
    spelled = plain.replace(b"/JavaScript", b"/J#61vaScript").replace(b"/JS", b"/J#53").replace(b"app.alert", b"alert")
    assert len(spelled) == len(plain) and b"/JS" not in spelled and b"/JavaScript" not in spelled
    assert "script or an action" in refused("scan.pdf", spelled)


def test_too_many_pages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_files, "MOST_PAGES", 3)
    assert take("a.pdf", files.pdf(pages=3))
    assert "1 to 3 pages" in refused("a.pdf", files.pdf(pages=4))
    assert "1 to 3 pages" in refused("a.pdf", files.pdf(pages=0))


@pytest.mark.parametrize("size", [(30_000, 30_000), (8_000, 8_000)])
def test_a_picture_that_unpacks_to_gigabytes_is_refused_before_it_does(size: tuple[int, int]) -> None:
    assert "at most 50 megapixels" in refused("a.png", files.png_that_claims(*size))


@pytest.mark.parametrize("content", [files.picture("PNG")[:60], files.picture("JPEG")[:200], b"\x89PNG\r\n\x1a\n....", b"\xff\xd8\xff\xe0...."])
def test_half_a_picture_is_none(content: bytes) -> None:
    assert "PDF, PNG or JPEG" in refused("a", content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_of_a_picture_only_what_can_be_seen_is_kept(kind: str) -> None:
    """Where the child lives stands in a photo's hidden part; a page with a script can stand behind its end."""
    marks = Image.Exif()
    marks[0x010F], marks[0x0112] = "CNRY-camera", 6  # whose camera; turned by a quarter
    sent = files.picture(kind, exif=marks) + b"<script>alert(1)</script>" + files.archive()
    taken = take("a", sent)
    assert b"CNRY" not in taken.content and b"script" not in taken.content and b"PK\x05\x06" not in taken.content
    with Image.open(io.BytesIO(taken.content)) as picture:
        assert picture.size == (30, 40), "a photo taken upright must not lie on its side"
        assert not picture.getexif()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
def test_every_mode_of_a_picture_is_taken(mode: str) -> None:
    for kind, modes in (("PNG", "1 L LA P RGBA I;16"), ("JPEG", "L CMYK")):
        if mode in modes.split():
            written = io.BytesIO()
            Image.new(mode, (8, 8)).save(written, kind)
            assert take("a", written.getvalue()).content


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("../../etc/pass:wd.pdf", "pass-wd"),
        ("C:\\scans\\knee.pdf", "knee"),
        ("a\x00b\r\nSet-Cookie: x.pdf", "ab Set-Cookie- x"),
        ("\u202egnp.pdf", "gnp"),
        ("a\u200fb.pdf", "a-b"),
        ("é" * 300 + ".pdf", "é" * 90),
        ("...pdf", "file"),
        ("", "file"),
        ('<img src=x onerror="alert(1)">.pdf', "img src=x onerror=-alert(1)"),
        (".htaccess.pdf", "htaccess"),
    ],
)
def test_a_name_is_made_safe(name: str, stem: str) -> None:
    assert take(name, PAGE).name == f"{stem}.pdf"


@pytest.mark.parametrize("name", ["report.exe", "report.pdf.html", "a.pdf\x00.exe", "invoice\u202efdp.exe", "a.jpg", "a.svg"])
def test_a_name_that_claims_something_else_is_refused(name: str) -> None:
    assert "but it is a PDF" in refused(name, PAGE)


def test_a_scan_called_pdf_that_is_a_photo_is_refused() -> None:
    assert "but it is a JPEG" in refused("scan.pdf", files.picture("JPEG"))


def test_a_title_becomes_a_name() -> None:
    assert incoming_files.file_name('Plan of "care": a/b\u202e\r\n', PDF) == "Plan of -care- a-b.pdf"
