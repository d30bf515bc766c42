"""Pictures from outside are drawn anew: what was hidden in or behind one, and where a phone took it, is not kept."""

import io

from flask_babel import lazy_gettext as _l
from PIL import Image, ImageOps, UnidentifiedImageError

from tenancy.errors import Refused

_NO_PICTURE = (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError)
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def opened(content: bytes, *, formats: tuple[str, ...], most_pixels: int, no_picture: Refused) -> Image.Image:
    """The pixels, the right way up. Raises Refused before any are unpacked if there are too many, else `no_picture`."""
    too_large = Refused(
        _l("This picture is too large. Use one of at most %(most)d megapixels.", most=most_pixels // 1_000_000),
        field=no_picture.field,
    )
    try:
        with Image.open(io.BytesIO(content), formats=formats) as picture:
            if picture.width * picture.height > most_pixels:
                raise too_large
            picture.load()
            return ImageOps.exif_transpose(picture)
    except _BOMB as error:
        raise too_large from error
    except _NO_PICTURE as error:
        raise no_picture from error


def as_png(picture: Image.Image) -> bytes:
    written = io.BytesIO()
    picture.save(written, "PNG", optimize=picture.width * picture.height < 1_000_000)
    return written.getvalue()


def as_jpeg(picture: Image.Image) -> bytes:
    written = io.BytesIO()
    picture.convert("L" if picture.mode in ("L", "1") else "RGB").save(written, "JPEG", quality=92)
    return written.getvalue()
