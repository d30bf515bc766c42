"""Whatever colour a clinic picks, its pages stay legible."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ui
from ui import accent

CASES = {
    "white": "#ffffff",
    "black": "#000000",
    "yellow": "#ffff00",
    "neon green": "#39ff14",
    "neon pink": "#ff10f0",
    "cyan": "#00ffff",
    "blue": "#0000ff",
    "middle grey": "#777777",
    "our own": accent.DEFAULT,
}
SCHEMES = {"light": accent.LIGHT, "dark": accent.DARK}


def assert_legible(colour: str, scheme: accent.Scheme) -> None:
    colours = accent.palette(colour, scheme)
    assert accent.contrast(colours.ink, colours.fill) >= 4.5
    for ground in scheme.grounds:
        assert accent.contrast(colours.fill, ground) >= 3.0
        assert accent.contrast(colours.text, ground) >= 4.5
    assert accent.contrast(colours.text, colours.soft) >= 4.5


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", CASES)
def test_contrast_holds_for_awkward_colours(name: str, scheme: str) -> None:
    assert_legible(CASES[name], SCHEMES[scheme])


@given(st.integers(0, 0xFFFFFF).map("#{:06x}".format))
def test_contrast_holds_for_any_colour(colour: str) -> None:
    for scheme in SCHEMES.values():
        assert_legible(colour, scheme)


def test_a_legible_colour_is_left_alone() -> None:
    assert accent.palette(accent.DEFAULT, accent.LIGHT).fill == accent.DEFAULT


def test_contrast_is_that_of_wcag() -> None:
    assert accent.contrast("#ffffff", "#000000") == pytest.approx(21)
    assert accent.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("text", ["", "#fff", "0f766e", "#0F766E", "#0f766e;", "#0f766e\n", "red", "#12345g"])
def test_only_six_lower_case_digits_are_a_colour(text: str) -> None:
    assert not accent.is_colour(text)


def test_the_grounds_are_those_of_the_stylesheet() -> None:
    css = (Path(ui.__file__).parent / "static" / "portico.css").read_text()
    light, dark, *_ = re.findall(r"--page: (#\w+);\s+--card: (#\w+);\s+--sunken: (#\w+);", css)
    assert light == accent.LIGHT.grounds
    assert dark == accent.DARK.grounds


def test_the_stylesheet_sets_every_property_in_both_schemes() -> None:
    css = accent.stylesheet("#ffcc00")
    for name in ("--accent:", "--accent-ink:", "--accent-text:", "--accent-soft:"):
        assert css.count(name) == 2
    assert "--brand:#ffcc00" in css
