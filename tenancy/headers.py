"""What every answer wears, whoever makes it: a page, a file, an error, a redirect that Flask never sees.

An answer may say something else of its own (a page the nonce of its script, a file that it may be kept); what it leaves
unsaid is said here.
"""

from typing import Any
from wsgiref.types import StartResponse

FORBIDDEN = (
    *("accelerometer", "ambient-light-sensor", "autoplay", "battery", "bluetooth", "browsing-topics", "camera"),
    *("display-capture", "encrypted-media", "fullscreen", "gamepad", "geolocation", "gyroscope", "hid", "idle-detection"),
    *("local-fonts", "magnetometer", "microphone", "midi", "payment", "picture-in-picture", "screen-wake-lock"),
    *("serial", "usb", "web-share", "xr-spatial-tracking"),
)
ALWAYS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in FORBIDDEN),
    "Cache-Control": "no-store",
}
OVER_TLS = {"Strict-Transport-Security": "max-age=63072000; includeSubDomains; preload"}


def dressed(start_response: StartResponse, *, is_secure: bool, holds_secret: bool = False) -> StartResponse:
    """`start_response` that adds what an answer left unsaid. An address with a secret is told to no other page."""
    worn = ALWAYS | (OVER_TLS if is_secure else {})
    if holds_secret:
        worn = worn | {"Referrer-Policy": "no-referrer"}

    def start(status: str, said: list[tuple[str, str]], *fault: Any) -> Any:
        names = {name.lower() for name, _ in said}
        return start_response(
            status, [*said, *(each for each in worn.items() if each[0].lower() not in names)], *fault
        )

    return start
