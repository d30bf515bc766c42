"""The catalogue of attacks: which are held, how long that took to show, and whether its planted weakness was seen.

A pytest plugin (`-p tests.attack.catalogue`), which `./test --catalogue` and `./test --every-tier` load. A row is every
test of `tests/attack/test_tNN_*.py`. It is *held* when all of them pass that plant nothing; its weakness was *seen* when
every `test_planted_…` of it passes, of which there must be one. A row without tests, or without a planted one, fails the run.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROWS = {
    "T01": "authorisation matrix, with canaries",
    "T02": "schema gate",
    "T03": "database fuzz",
    "T04": "context bleed",
    "T05": "stateful model of who may read what",
    "T06": "inside one clinic: revocation and switches",
    "T07": "session replay",
    "T08": "webhook forgery",
    "T09": "webhook order and duplicates",
    "T10": "two tabs and tampering",
    "T11": "killed at every step of a payment",
    "T12": "token life",
    "T13": "host header",
    "T14": "poisoned mail link",
    "T15": "cross-site requests from a sibling",
    "T16": "cookie tossing and fixation",
    "T17": "whatever goes wrong between us and Stripe",
    "T18": "the books under a nemesis",
    "T19": "document fetch",
    "T20": "hostile upload and storage",
    "T21": "audit completeness",
    "T22": "audit tampering",
    "T25": "mail content",
    "T27": "key, unique and sequence side channels",
    "T28": "context of jobs and commands",
    "T29": "session life",
    "T30": "guessing and stuffing",
    "T31": "enumeration",
    "T32": "second factors and recovery",
    "T33": "injection by shape",
    "T34": "refunds, disputes and minor units",
    "T38": "address life",
    "T39": "headers and caches",
    "T40": "redirects and smuggling",
    "knock-out": "either of two layers alone",
}
PLANTED = "test_planted_"
_FILE = re.compile(r"tests/attack/test_(t\d\d|knock_out)")


@dataclass
class Row:
    """What was seen of one row."""

    held: list[bool] = field(default_factory=list)
    seen: list[bool] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_held(self) -> bool:
        return bool(self.held) and all(self.held)

    @property
    def is_seen(self) -> bool:
        return bool(self.seen) and all(self.seen)


def row_of(node: str) -> str | None:
    """The row that a test belongs to, by its file."""
    found = _FILE.search(node)
    return found[1].upper().replace("KNOCK_OUT", "knock-out") if found else None


def counted(outcomes: Iterable[tuple[str, bool, float]]) -> dict[str, Row]:
    """(node id, whether it passed, seconds) of every phase of every test → row → what was seen."""
    rows = {name: Row() for name in ROWS}
    for node, passed, seconds in outcomes:
        row = rows.get(row_of(node) or "")
        if row is not None:
            (row.seen if PLANTED in node else row.held).append(passed)
            row.seconds += seconds
    return rows


def table(rows: dict[str, Row]) -> list[str]:
    lines = [f"{'row':<10} {'held':<5} {'weakness seen':<14} {'seconds':>7}  what"]
    for name, row in rows.items():
        held, seen = ("yes" if row.is_held else "NO"), ("yes" if row.is_seen else "NO")
        lines.append(f"{name:<10} {held:<5} {seen:<14} {row.seconds:>7.1f}  {ROWS[name]}")
    return lines


def gaps(folder: Path) -> list[str]:
    """Rows whose files are missing, say nothing of themselves, or plant nothing."""
    found = []
    for name in ROWS:
        files = sorted(folder.glob(f"test_{name.lower().replace('-', '_')}*.py"))
        texts = [path.read_text() for path in files]
        if not files:
            found.append(f"{name}: no tests")
        elif not any(f"def {PLANTED}" in text for text in texts):
            found.append(f"{name}: no planted weakness")
        found += [f"{path.name}: no docstring" for path, text in zip(files, texts, strict=True) if not text.startswith('"""')]
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report
        for outcome in ("passed", "failed", "error", "")
        for report in terminalreporter.stats.get(outcome, ())
        if isinstance(report, pytest.TestReport)
    ]
    rows = counted((report.nodeid, report.passed, report.duration) for report in reports)
    terminalreporter.section("the catalogue of attacks")
    for line in table(rows):
        terminalreporter.write_line(line)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    missing = gaps(Path(__file__).parent)
    if missing and not exitstatus and not hasattr(session.config, "workerinput"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print("\n".join(["", "Not in the catalogue:", *missing]))
