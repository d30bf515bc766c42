"""Files that people send: what one really is, and whether it is taken. Nothing is kept that was not taken here.

A PDF, PNG or JPEG by its content; the name must not claim otherwise. PDFs stay as they are or are refused, pictures
are drawn anew.
"""

import re
from dataclasses import dataclass

from flask_babel import lazy_gettext as _l

from clinic import pdf_files, pictures, plain_text, virus_scanner
from clinic.virus_scanner import Scan
from tenancy.errors import Conflict, Refused

MOST_BYTES = 20 * 1024 * 1024
MOST_PIXELS = 50_000_000
LONGEST_NAME = 100
PDF, PNG, JPEG = "application/pdf", "image/png", "image/jpeg"
# What a file begins with → what it is.
BEGINNINGS = ((b"%PDF-", PDF), (b"\x89PNG\r\n\x1a\n", PNG), (b"\xff\xd8\xff", JPEG))
# What its name may end in; the first is what we give it.
SUFFIXES = {PDF: ("pdf",), PNG: ("png",), JPEG: ("jpg", "jpeg", "jpe", "jfif")}
KNOWN_AS = {PDF: "PDF", PNG: "PNG", JPEG: "JPEG"}
_UNSAFE_IN_NAMES = re.compile(r'[\\/:*?"<>|\u200e\u200f\u061c]+')


@dataclass(frozen=True)
class TakenFile:
    """A file that was looked into. `name` is fit to be shown, and ends in what the file is."""

    name: str
    media_type: str
    content: bytes
    scan: Scan = Scan.NONE


def take(name: str, content: bytes, *, field: str = "file") -> TakenFile:
    """Raises Refused. `name` is what the sender calls it; `content` may be cut off one byte past MOST_BYTES."""
    media_type = _kind_of(content, field)
    stem, suffix = _parts(name)
    if suffix and suffix not in SUFFIXES[media_type]:
        raise Refused(
            _l(
                "The file's name ends in .%(suffix)s, but it is a %(kind)s. Rename it or choose another.",
                suffix=suffix[:10],
                kind=KNOWN_AS[media_type],
            ),
            field=field,
        )
    if media_type == PDF:
        pdf_files.check(content, field=field)
    else:
        content = _redrawn(content, media_type, field)
    found = virus_scanner.scan(content)
    if found is Scan.INFECTED:
        raise Refused(_l("A virus was found in this file, so it was not kept. Check the device it comes from."), field=field)
    return TakenFile(file_name(stem, media_type), media_type, content, found)


def file_name(stem: str, media_type: str) -> str:
    """A name that is safe on every computer, with the suffix of what the file is."""
    safe = _UNSAFE_IN_NAMES.sub("-", plain_text.one_line(stem)).strip(". -")
    return f"{safe[: LONGEST_NAME - 10].rstrip() or 'file'}.{SUFFIXES[media_type][0]}"


def check_may_be_opened(scan: str) -> None:
    """Raises Conflict for a file that the virus scanner has not passed."""
    if scan == Scan.WAITING:
        raise Conflict(_l("This file is still being checked for viruses. Try again in a few minutes."))
    if scan == Scan.INFECTED:
        raise Conflict(_l("A virus was found in this file, so nobody can open it. Ask for a clean copy."))


def _kind_of(content: bytes, field: str) -> str:
    if not content:
        raise Refused(_l("This file is empty. Choose another."), field=field)
    if len(content) > MOST_BYTES:
        raise Refused(_l("A file can have at most 20 MB."), field=field)
    for beginning, media_type in BEGINNINGS:
        if content.startswith(beginning):
            return media_type
    raise _no_such_kind(field)


def _redrawn(content: bytes, media_type: str, field: str) -> bytes:
    kind = KNOWN_AS[media_type]
    picture = pictures.opened(
        content, formats=(kind,), most_pixels=MOST_PIXELS, no_picture=_no_such_kind(field)
    )
    return pictures.as_png(picture) if media_type == PNG else pictures.as_jpeg(picture)


def _parts(name: str) -> tuple[str, str]:
    """(stem, suffix in lower case) of the name without its folders."""
    last = re.split(r"[\\/]", plain_text.one_line(name))[-1]
    stem, dot, suffix = last.rpartition(".")
    return (stem, suffix.lower()) if dot else (last, "")


def _no_such_kind(field: str) -> Refused:
    return Refused(_l("Choose a PDF, PNG or JPEG file."), field=field)
