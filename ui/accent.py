"""A clinic's accent: any colour somebody typed, made legible.

The clinic's own colour stays as `--brand`, for decoration only. What carries text or marks a control is the same
hue, moved in lightness as little as WCAG 2.2 needs: 3:1 for a filled control, 4.5:1 for text. Pure functions.
"""

import colorsys
import re
from dataclasses import dataclass

DEFAULT = "#0f766e"
WHITE, BLACK = "#ffffff", "#000000"
CONTROL_RATIO = 3.0

SOFT_SHARE = 0.12


@dataclass(frozen=True)
class Scheme:
    """`grounds`: page, card and sunken ground, as in portico.css (a test compares)."""

    grounds: tuple[str, str, str]
    text_ratio: float


# Coloured text on dark is held higher than WCAG asks: at 4.5 it tires.
LIGHT = Scheme(("#faf7f2", "#ffffff", "#f3ede4"), 4.5)
DARK = Scheme(("#191816", "#23211e", "#2e2b27"), 6.0)


@dataclass(frozen=True)
class Palette:
    fill: str  # of a filled control
    ink: str  # text on `fill`
    text: str  # text on any ground and on `soft`
    soft: str  # a tinted ground


def is_colour(text: str) -> bool:
    return re.fullmatch(r"#[0-9a-f]{6}", text) is not None


def luminance(colour: str) -> float:
    """Relative luminance as WCAG defines it, 0 to 1."""
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in _parts(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """1 to 21."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def legible(colour: str, grounds: tuple[str, ...], ratio: float) -> str:
    """The nearest lightness of the same hue that stands out from every ground: darker on light ones, lighter on dark."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*_parts(colour))
    end = 0.0 if luminance(grounds[0]) > 0.18 else 1.0
    for step in range(257):
        candidate = _colour(colorsys.hls_to_rgb(hue, lightness + (end - lightness) * step / 256, saturation))
        if all(contrast(candidate, ground) >= ratio for ground in grounds):
            return candidate
    raise ValueError(f"No lightness of {colour} reaches {ratio}:1 on {grounds}.")


def palette(colour: str, scheme: Scheme) -> Palette:
    fill = legible(colour, scheme.grounds, CONTROL_RATIO)
    soft = _mixed(fill, scheme.grounds[1], SOFT_SHARE)
    return Palette(
        fill=fill,
        ink=max(WHITE, BLACK, key=lambda ink: contrast(ink, fill)),
        text=legible(colour, (*scheme.grounds, soft), scheme.text_ratio),
        soft=soft,
    )


def stylesheet(colour: str) -> str:
    """The custom properties of one accent, for light and dark."""
    light, dark = palette(colour, LIGHT), palette(colour, DARK)
    return (
        f":root{{--brand:{colour};{_properties(light)}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{_properties(dark)}}}}}\n"
    )


def _properties(colours: Palette) -> str:
    return (
        f"--accent:{colours.fill};--accent-ink:{colours.ink};--accent-text:{colours.text};--accent-soft:{colours.soft}"
    )


def _parts(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def _colour(parts: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{min(255, max(0, round(part * 255))):02x}" for part in parts)


def _mixed(one: str, other: str, share: float) -> str:
    red, green, blue = (a * share + b * (1 - share) for a, b in zip(_parts(one), _parts(other), strict=True))
    return _colour((red, green, blue))
