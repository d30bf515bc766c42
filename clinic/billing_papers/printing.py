"""Making the file: a paper's words go to typst as data, never as its source, so that nothing typed becomes a command."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typst

from tenancy import database

LAYOUT = Path(__file__).with_name("paper.typ")
NOWHERE = "/nonexistent"  # no packages: everything it needs is in the layout


@dataclass(frozen=True)
class PaperTable:
    """The last column holds amounts; `totals` are rows below a line."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    totals: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Paper:
    """What stands on one, in words that are written already."""

    language: str
    title: str
    sender: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[PaperTable, ...]
    closing: str
    file_name: str


def printed(paper: Paper) -> bytes:
    """A tagged PDF (PDF/UA-1), the same bytes for the same words; some milliseconds. Raises RuntimeError in a transaction.

    Letters that the built-in font lacks, as of a Chinese name, come from the machine's fonts. Where those lack them too the
    file is still tagged, but cannot claim the standard.
    """
    if database.is_running():
        raise RuntimeError("A paper is printed after its transaction, not in it.")
    for attempt in ({"ignore_system_fonts": True, "pdf_standards": "ua-1"}, {"pdf_standards": "ua-1"}):
        try:
            return _compiled(paper, **attempt)
        except typst.TypstError as lacking:
            if "could not be displayed" not in str(lacking):
                raise
    return _compiled(paper)


def _compiled(paper: Paper, **how: Any) -> bytes:
    inputs = {"paper": json.dumps(asdict(paper))}
    file: bytes = typst.compile(str(LAYOUT), sys_inputs=inputs, package_path=NOWHERE, package_cache_path=NOWHERE, **how)
    return file
