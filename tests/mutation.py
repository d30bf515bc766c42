"""Mutation testing: change one thing in a module, run the tests that pass through it, and list what no test noticed.

    .venv/bin/python -m tests.mutation clinic/sessions.py clinic/credentials.py -- tests/clinic tests/portal
    .venv/bin/python -m tests.mutation --part 1/2 tenancy/*.py
    .venv/bin/python -m tests.mutation clinic/sessions.py:24 clinic/sessions.py:61    # one line's mutants, once more

The tests run once, each line remembering which tests passed through it; then each mutant is a fork of that process,
whose functions are given the changed code, and which runs those tests until one fails: first those that see most of the
named modules a second. The tools that start a test session for each mutant would start PostgreSQL a thousand times. Prints a
line a survivor: `file:line  before → after`; and those whose tests hung, which counts as noticed.
Survivors that are known, each with the reason why it may live, are in `tests/survivors.md`.
"""

import argparse
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections import Counter
from itertools import accumulate
from pathlib import Path
from typing import Any

import coverage
import pytest
from _pytest.runner import runtestprotocol
from sqlalchemy import Engine

from tests.mutants import ROOT, Mutant, living, mutants_of, plant

MOST_SECONDS = 60  # longer than its tests took without it; a mutant that hangs was noticed
MOST_TEST_SECONDS = 60  # of the tests for one, as long as they took without it
LEAST_TESTS = 40  # however slow the machine
PR_SET_CHILD_SUBREAPER = 36  # of <linux/prctl.h>
HUNG, UNPLANTED = 3, 4  # the exit status of such a fork
EVERYDAY = "not slow and not browser and not bench"


class _Session:
    """Stands for "the next test" after the last: keeps the session's own fixtures (the server), and nothing else."""

    def __init__(self, session: pytest.Session) -> None:
        self.session = session

    def listchain(self) -> list[pytest.Session]:
        return [self.session]


class Run:
    """A pytest plugin: the tests once, then the mutants."""

    def __init__(self, asked: list[str], part: tuple[int, int]) -> None:
        """`asked` are paths and `path:line`s; of a path with lines, only these lines are changed."""
        places = [(ROOT / path, line) for path, _, line in (each.partition(":") for each in asked)]
        paths = list(dict.fromkeys(path for path, _ in places))
        self.lines = {path: {int(line) for each, line in places if each == path and line} for path in paths}
        self.part = part
        self.measured = coverage.Coverage(include=[str(path) for path in paths], data_file=None, config_file=False)
        self.seconds: dict[str, float] = {}
        self.survivors: list[str] = []
        self.counts = {"noticed": 0, "hung": 0, "survived": 0, "unplanted": 0}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        rest: Any = _Session(session)
        self.measured.start()
        for item, following in zip(session.items, [*session.items[1:], rest], strict=True):
            self.measured.switch_context(item.nodeid)
            begun = time.monotonic()
            reports = runtestprotocol(item, nextitem=following, log=False)
            self.seconds[item.nodeid] = time.monotonic() - begun
            if any(report.failed for report in reports):
                print("\n".join(str(report.longrepr) for report in reports if report.failed))
                raise pytest.UsageError(f"{item.nodeid} fails without any mutant.")
        self.measured.stop()
        print(f"{len(session.items)} tests, {sum(self.seconds.values()):.0f} s; now the mutants", flush=True)
        self._try_all(session)
        return True

    def _try_all(self, session: pytest.Session) -> None:
        living()
        items = {item.nodeid: item for item in session.items}
        data = self.measured.get_data()
        passing = {path: data.contexts_by_lineno(str(path)) for path in self.lines}
        sees = Counter(test for through in passing.values() for tests in through.values() for test in tests)
        for path, through in passing.items():
            inside = {test for tests in through.values() for test in tests}
            for number, mutant in enumerate(mutants_of(path)):
                if number % self.part[1] != self.part[0] or mutant.line not in (self.lines[path] or {mutant.line}):
                    continue
                tests = [each for each in through.get(mutant.line, ()) if each in items]
                tests = sorted(tests or items, key=lambda each: self.seconds[each] / (sees[each] + 0.01))
                if mutant.line not in through:  # run at import: any test, first the module's own and those that enter it
                    tests = sorted(tests, key=lambda each: (items[each].path.stem != f"test_{path.stem}", each not in inside))
                outcome = self._outcome(mutant, *self._quickest([items[each] for each in tests]))
                self.counts[outcome] += 1
                if outcome != "noticed":
                    self.survivors.append(f"{outcome}: {mutant}")
                    print(self.survivors[-1], flush=True)

    def _outcome(self, mutant: Mutant, items: list[pytest.Item], seconds: float) -> str:
        child = os.fork()
        if not child:
            _adopt_orphans()
            noticed = _noticed(mutant, items, MOST_SECONDS + seconds)
            _end_children()
            os._exit(noticed)
        _pid, status = os.waitpid(child, 0)
        return {0: "survived", HUNG: "hung", UNPLANTED: "unplanted"}.get(os.waitstatus_to_exitcode(status), "noticed")

    def _quickest(self, items: list[pytest.Item]) -> tuple[list[pytest.Item], float]:
        """As many of the first as there is time for; and how long they took."""
        ends = list(accumulate(self.seconds[item.nodeid] for item in items))
        ends = [end for end in ends if end <= max(MOST_TEST_SECONDS, ends[:LEAST_TESTS][-1])]
        return items[: len(ends)], ends[-1]


def _noticed(mutant: Mutant, items: list[pytest.Item], most_seconds: float) -> int:
    """In the fork: 1 where a test failed, or hung."""

    def hung(*_: object) -> None:
        _end_children()
        os._exit(HUNG)

    signal.signal(signal.SIGALRM, hung)
    signal.setitimer(signal.ITIMER_REAL, most_seconds)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for line in (1, 2):
        os.dup2(nowhere, line)
    try:
        for engine in living()[Engine]:
            engine.dispose(close=False)  # the parent's connections are the parent's
        if not plant(mutant):
            return UNPLANTED
        rest: Any = _Session(items[0].session)
        for item, following in zip(items, [*items[1:], rest], strict=True):
            if any(report.failed for report in runtestprotocol(item, nextitem=following, log=False)):
                return 1
    except BaseException:  # noqa: BLE001  whatever a mutant breaks was noticed
        return 1
    return 0


def _adopt_orphans() -> None:
    """In the fork: a server that a test leaves behind becomes its child, not the system's."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def _end_children() -> None:
    """In the fork: whatever the tests have started, and what that has started in its turn."""
    while children := [pid for each in Path("/proc/self/task").glob("*/children") for pid in each.read_text().split()]:
        for child in children:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(int(child), signal.SIGKILL)
                os.waitpid(int(child), 0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--part", default="1/1", help="of the mutants, such as 1/2 and 2/2 in two terminals")
    parser.add_argument("paths", nargs="+")
    ours, _, tests = " ".join(sys.argv[1:]).partition(" -- ")
    asked = parser.parse_args(ours.split())
    number, _, parts = asked.part.partition("/")
    run = Run(asked.paths, (int(number) - 1, int(parts)))
    with contextlib.chdir(ROOT):
        status = pytest.main(["-n", "0", "-m", EVERYDAY, *(tests.split() or ["tests"])], plugins=[run])
    print(run.counts)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
