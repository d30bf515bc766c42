"""A file as an answer: to be read in the browser or to be kept, whole or a part, and never able to act.

Sandboxed, PDFs too: Chromium's reader shows them all the same (tests/journeys/test_reading_a_file.py).
"""

import hashlib
import io
import re

from flask import Response, request, send_file

SEALED_OFF = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
_ONE_PART = re.compile(r"bytes=(\d{1,15}-\d{0,15}|-\d{1,15})")


def of(content: bytes, media_type: str, name: str, *, to_keep: bool) -> Response:
    """200, or 206 for the one part asked for; whoever asks for several gets the whole. Raises 416 past the end."""
    answer = send_file(
        io.BytesIO(content), media_type, as_attachment=to_keep, download_name=name, conditional=False, etag=False
    )
    # Told only to somebody who may have the file: an interrupted download goes on where nothing has changed.
    answer.set_etag(hashlib.sha256(content).hexdigest())
    asking = dict(request.environ)
    if not _ONE_PART.fullmatch(asking.get("HTTP_RANGE", "")):
        asking.pop("HTTP_RANGE", None)
    answer.make_conditional(asking, accept_ranges=True, complete_length=len(content))
    answer.headers["Content-Security-Policy"] = SEALED_OFF
    answer.headers["Cache-Control"] = "private, no-store"
    return answer
