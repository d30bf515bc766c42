"""QR codes, drawn into the page: no picture to fetch, nothing that a content policy has to allow."""

import segno
from markupsafe import Markup

MODULES_TO_PIXELS = 5
QUIET_ZONE = 4  # modules


def picture(text: str) -> Markup:
    """An <svg> of this text, dark on light whatever the page's colours are. `text` itself does not appear in it."""
    code = segno.make(text, micro=False, error="m")
    return Markup(
        code.svg_inline(scale=MODULES_TO_PIXELS, border=QUIET_ZONE, dark="#000", light="#fff", omitsize=True, svgclass="qr")
    )
