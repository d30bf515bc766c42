"""What a PDF may hold: pages to read. One that could act, that hides another file, or that readers take differently is
refused and never mended: what is kept is, byte for byte, what somebody chose.
"""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import pikepdf
from flask_babel import lazy_gettext as _l
from pikepdf import settings

from tenancy.errors import Refused

MOST_PAGES = 2000
MOST_OBJECTS = 200_000
MOST_UNPACKED = 64 * 1024 * 1024  # bytes that one stream may unpack to while the file's structure is read
# Names of what acts or carries: as a key, or as the kind of an action or a file's part.
ACTING = frozenset({"/JS", "/JavaScript", "/Launch", "/SubmitForm", "/ImportData", "/RichMedia", "/Rendition", "/XFA"})
CARRYING = frozenset({"/EmbeddedFile", "/EmbeddedFiles", "/EF", "/Collection"})

# The process's own; nothing else here reads PDFs. Without them half a megabyte unpacks to half a gigabyte.
settings.set_qpdf_limits(
    flate_max_memory=MOST_UNPACKED,
    png_max_memory=MOST_UNPACKED,
    tiff_max_memory=MOST_UNPACKED,
    run_length_max_memory=MOST_UNPACKED,
    parser_max_container_size=MOST_OBJECTS,
)


def check(content: bytes, *, field: str) -> None:
    """Raises Refused with what to do."""
    _before, end, after = content.rpartition(b"%%EOF")
    if zipfile.is_zipfile(io.BytesIO(content)) or (end and after.strip(b"\r\n \t\x00")):
        raise Refused(_l("This PDF has something else attached to it. Print it to a new PDF and choose that one."), field=field)
    try:
        with pikepdf.open(io.BytesIO(content), attempt_recovery=False) as pdf:
            _check_opened(pdf, field)
    except pikepdf.PasswordError as error:
        raise _locked(field) from error
    except (pikepdf.PikepdfError, ValueError, RuntimeError) as error:
        raise Refused(_l("This PDF is damaged. Print it to a new PDF and choose that one."), field=field) from error


def _check_opened(pdf: pikepdf.Pdf, field: str) -> None:
    if pdf.is_encrypted:
        raise _locked(field)
    if len(pdf.objects) > MOST_OBJECTS or not 1 <= len(pdf.pages) <= MOST_PAGES:
        raise Refused(_l("A PDF must have 1 to %(most)d pages.", most=MOST_PAGES), field=field)
    names = set(_names(pdf))
    if names & ACTING:
        raise Refused(_l("This PDF holds a script or an action. Print it to a new PDF and choose that one."), field=field)
    if names & CARRYING:
        raise Refused(_l("This PDF carries other files. Choose each file by itself."), field=field)


def _locked(field: str) -> Refused:
    return Refused(_l("This PDF is locked with a password. Save it without one and choose it again."), field=field)


def _names(pdf: pikepdf.Pdf) -> Iterator[str]:
    """Every key, and every name that a key stands for, wherever in the file."""
    waiting: list[Any] = list(pdf.objects)
    while waiting:
        one = waiting.pop()
        if isinstance(one, pikepdf.Name):
            yield str(one)
        parts: list[Any] = []
        if isinstance(one, pikepdf.Array):
            parts = list(one)
        elif isinstance(one, pikepdf.Dictionary | pikepdf.Stream):
            for key, value in one.items():
                yield key
                parts.append(value)
        # What stands for itself is among the objects already, and may lead round in a circle.
        waiting += [each for each in parts if isinstance(each, pikepdf.Object) and not each.is_indirect]
