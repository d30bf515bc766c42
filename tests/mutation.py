"""Mutation testing: change one thing in a module, run the tests that pass through it, and list what no test noticed.

    .venv/bin/python -m tests.mutation clinic/sessions.py clinic/credentials.py -- tests/clinic tests/portal
    .venv/bin/python -m tests.mutation --part 1/2 tenancy/*.py

The tests run once, each line remembering which tests passed through it; then each mutant is a fork of that process,
whose functions are given the changed code, and which runs those tests, quickest first, until one fails. The tools that
start a test session for each mutant would start PostgreSQL a thousand times. Prints a line a survivor:
`file:line  before → after`.
"""

import argparse
import ast
import contextlib
import copy
import gc
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import coverage
import pytest
from _pytest.runner import runtestprotocol
from sqlalchemy import Engine

ROOT = Path(__file__).parents[1]
MOST_SECONDS = 60  # of tests a mutant; one that hangs was noticed
MOST_TESTS = 120
EVERYDAY = "not slow and not browser and not bench"
SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    path: Path
    line: int
    before: str
    after: str
    tree: ast.Module

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}  {self.before}  →  {self.after}"


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Every single change of one module: comparisons, connectives, numbers, truth, conditions, returns, calls left out."""
    whole = ast.parse(path.read_text())
    places = [node for node in _plantable(whole) if hasattr(node, "lineno")]
    for number, place in enumerate(places):
        for choice in range(len(_changes(place))):
            tree = copy.deepcopy(whole)
            node = [each for each in _plantable(tree) if hasattr(each, "lineno")][number]
            before = ast.unparse(node).partition("\n")[0][:90]
            changed = _changes(node)[choice]
            if isinstance(changed, ast.AST):
                _Replace(node, changed).visit(tree)
                after = ast.unparse(changed).partition("\n")[0][:90]
            else:
                changed()
                after = ast.unparse(node).partition("\n")[0][:90]
            ast.fix_missing_locations(tree)
            yield Mutant(path, place.lineno, before, after, tree)


def _plantable(node: ast.AST, inside: bool = False) -> Iterator[ast.AST]:
    """What can be changed in a living module: the bodies of functions, and the values of its constants."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        for statement in node.body:
            yield from _plantable(statement, True)
        return
    if inside:
        yield node
    for child in ast.iter_child_nodes(node):
        is_annotation = isinstance(node, ast.AnnAssign) and child is node.annotation
        is_value = isinstance(node, ast.Assign | ast.AnnAssign) and child is node.value
        in_class = isinstance(node, ast.ClassDef) and not isinstance(child, ast.FunctionDef)
        if not (is_annotation or in_class):
            yield from _plantable(child, inside or is_value)


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, ast.copy_location(new, old)

    def visit(self, node: ast.AST) -> Any:
        return self.new if node is self.old else super().visit(node)


def _changes(node: ast.AST) -> list[Any]:
    """Nodes to stand in this one's place, or functions that change it where it stands."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in SWAPPED:
        return [lambda: node.ops.__setitem__(0, SWAPPED[type(node.ops[0])]())]
    if isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in SWAPPED:
        return [lambda: setattr(node, "op", SWAPPED[type(node.op)]())]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
        return [node.operand]
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        return [lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))]
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return [ast.Constant(not node.value)]
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return [ast.Constant(node.value + 1)]
    if isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        return [ast.Return(ast.Constant(None))]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return [ast.Pass()]
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
        return [ast.Pass()]
    return []


def plant(mutant: Mutant) -> None:
    """Give every living function of the module the changed code, and its constants their changed values."""
    filename = str(mutant.path)
    module = next(each for each in list(sys.modules.values()) if _file_of(each) == filename)
    codes = {code.co_qualname: code for code in _codes(compile(mutant.tree, filename, "exec"))}
    for function in [each for each in gc.get_objects() if isinstance(each, FunctionType)]:
        old = function.__code__
        new = codes.get(old.co_qualname) if old.co_filename == filename else None
        if new is not None and new.co_freevars == old.co_freevars and new != old:
            function.__code__ = new
    for statement in mutant.tree.body:
        is_value = isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None
        if is_value and statement.lineno <= mutant.line <= (statement.end_lineno or 0):
            exec(compile(ast.Module([statement], []), filename, "exec"), module.__dict__)


def _file_of(module: ModuleType) -> str | None:
    return getattr(module, "__file__", None)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


class _Session:
    """Stands for "the next test" after the last: keeps the session's own fixtures (the server), and nothing else."""

    def __init__(self, session: pytest.Session) -> None:
        self.session = session

    def listchain(self) -> list[pytest.Session]:
        return [self.session]


class Run:
    """A pytest plugin: the tests once, then the mutants."""

    def __init__(self, paths: list[Path], part: tuple[int, int]) -> None:
        self.paths = paths
        self.part = part
        self.measured = coverage.Coverage(include=[str(path) for path in paths], data_file=None, config_file=False)
        self.seconds: dict[str, float] = {}
        self.survivors: list[str] = []
        self.counts = {"noticed": 0, "survived": 0, "untested": 0}

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
        items = {item.nodeid: item for item in session.items}
        data = self.measured.get_data()
        for path in self.paths:
            through = data.contexts_by_lineno(str(path))
            for number, mutant in enumerate(mutants_of(path)):
                if number % self.part[1] != self.part[0]:
                    continue
                tests = [each for each in through.get(mutant.line, ()) if each in items]
                if not tests:  # run at import: any test that passes through the module
                    tests = list({each for line in through.values() for each in line if each in items})
                tests = sorted(tests, key=self.seconds.__getitem__)[:MOST_TESTS]
                outcome = self._outcome(mutant, [items[each] for each in tests]) if tests else "untested"
                self.counts[outcome] += 1
                if outcome != "noticed":
                    self.survivors.append(f"{outcome}: {mutant}")
                    print(self.survivors[-1], flush=True)

    def _outcome(self, mutant: Mutant, items: list[pytest.Item]) -> str:
        child = os.fork()
        if not child:
            os._exit(_noticed(mutant, items))
        _pid, status = os.waitpid(child, 0)
        return "survived" if os.waitstatus_to_exitcode(status) == 0 else "noticed"


def _noticed(mutant: Mutant, items: list[pytest.Item]) -> int:
    """In the fork: 1 where a test failed, or hung."""
    signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
    signal.alarm(MOST_SECONDS)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for line in (1, 2):
        os.dup2(nowhere, line)
    try:
        for engine in [each for each in gc.get_objects() if isinstance(each, Engine)]:
            engine.dispose(close=False)  # the parent's connections are the parent's
        plant(mutant)
        rest: Any = _Session(items[0].session)
        for item, following in zip(items, [*items[1:], rest], strict=True):
            if any(report.failed for report in runtestprotocol(item, nextitem=following, log=False)):
                return 1
    except BaseException:  # noqa: BLE001  whatever a mutant breaks was noticed
        return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--part", default="1/1", help="of the mutants, such as 1/2 and 2/2 in two terminals")
    parser.add_argument("paths", nargs="+")
    ours, _, tests = " ".join(sys.argv[1:]).partition(" -- ")
    asked = parser.parse_args(ours.split())
    number, _, parts = asked.part.partition("/")
    run = Run([(ROOT / path).resolve() for path in asked.paths], (int(number) - 1, int(parts)))
    with contextlib.chdir(ROOT):
        status = pytest.main(["-n", "0", "-m", EVERYDAY, *(tests.split() or ["tests"])], plugins=[run])
    print(run.counts)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
