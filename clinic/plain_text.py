"""What people type, as it is kept: no control characters, nothing that overrides the direction of writing."""

import unicodedata

_NEVER = {"Cc", "Cs"}  # control characters; halves of characters, which cannot be stored
_OVERRIDES = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}


def lines(text: str) -> str:
    """Lines that end in \\n, however the browser sent them, without blanks at the edges."""
    one_kind = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    kept = (c for c in one_kind if c in "\n\t" or unicodedata.category(c) not in _NEVER)
    return "".join(c for c in kept if ord(c) not in _OVERRIDES).strip()


def one_line(text: str) -> str:
    return " ".join(lines(text).split())
