"""Lost if it fails: a family that reads Spanish meets a sentence in English, or one with a hole in it."""

import re
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from tenancy.languages import Language

ROOT = Path(__file__).parents[2]
READ_BY_FAMILIES = ("portal_app", "ui", "mail", "clinic", "tenancy")
METHODS = [("**.py", "python"), ("**/templates/**", "jinja2")]
KEYWORDS = {"_": None, "_l": None, "gettext": None, "lazy_gettext": None, "ngettext": (1, 2)}
TRANSLATED = [each for each in Language if each != Language.ENGLISH]
_HOLE = re.compile(r"%\(\w+\)[sd]|%[sd%]|<[^>]+>")


def asked_for(root: Path) -> set[str | tuple[str, ...]]:
    """Every string that a family may read, as the source asks for it."""
    found: set[str | tuple[str, ...]] = set()
    for folder in READ_BY_FAMILIES:
        options = {"**/templates/**": {"encoding": "utf-8", "trimmed": "true"}}
        for _file, _line, message, _comments, _context in extract_from_dir(
            root / folder, METHODS, keywords=KEYWORDS, options_map=options
        ):
            if message:
                found.add(tuple(message) if isinstance(message, tuple | list) else message)
    return found


def catalogue(language: str) -> Catalog:
    return read_po(BytesIO(_folder(language).joinpath("messages.po").read_bytes()), locale=language)


def _folder(language: str) -> Path:
    return ROOT / "ui" / "translations" / language / "LC_MESSAGES"


def faults(asked: set[str | tuple[str, ...]], known: Catalog) -> list[str]:
    """Strings without a translation, translations nobody asks for, and sentences with other holes than the source's."""
    translated = {_key(message): message for message in known if message.id}
    found = [f"missing: {key}" for key in asked - translated.keys()]
    found += [f"nobody asks for: {key}" for key in translated.keys() - asked]
    for key in asked & translated.keys():
        message = translated[key]
        ids = (message.id,) if isinstance(message.id, str) else tuple(message.id)
        strings = (message.string,) if isinstance(message.string, str) else tuple(message.string)
        if message.fuzzy or not all(strings) or len(strings) < len(ids):
            found.append(f"not translated: {key}")
            continue
        holes = set(_HOLE.findall(ids[-1]))
        found += [f"other holes: {each}" for each in strings[-1:] if set(_HOLE.findall(each)) != holes]
        found += [f"a hole of no one: {each}" for each in strings if not set(_HOLE.findall(each)) <= holes]
    return sorted(found)


def _key(message: Message) -> str | tuple[str, ...]:
    return message.id if isinstance(message.id, str) else tuple(message.id)


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_string_a_family_reads_is_translated(language: str) -> None:
    found = faults(asked_for(ROOT), catalogue(language))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("language", TRANSLATED)
def test_what_is_compiled_is_what_was_translated(language: str) -> None:
    """Pages read the compiled catalogue."""
    written = BytesIO()
    write_mo(written, catalogue(language))
    assert _folder(language).joinpath("messages.mo").read_bytes() == written.getvalue(), "pybabel compile -d ui/translations"


def test_planted_strings_are_seen(tmp_path: Path) -> None:
    """One that nobody translated, one that lost its hole, one left over, one still doubted."""
    for folder in READ_BY_FAMILIES:
        (tmp_path / folder).mkdir()
    (tmp_path / "clinic" / "x.py").write_text('_("Planted"); _("Hello, %(name)s"); _("Doubted")\n')
    known = Catalog(locale="es")
    known.add("Hello, %(name)s", "Hola")
    known.add("Left over", "De sobra")
    known.add("Doubted", "Dudoso", flags=["fuzzy"])
    assert faults(asked_for(tmp_path), known) == [
        "missing: Planted", "nobody asks for: Left over", "not translated: Doubted", "other holes: Hola",
    ]  # fmt: skip
