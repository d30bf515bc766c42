"""Mutants of a module: what of it can be changed, and how the change comes into the living program.

Functions are given other code where they live. A changed constant is carried on to whatever was made from it at import,
in its module and in all that import it; what a class or a default value has taken from it stays as it was.
"""

import ast
import copy
import gc
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import _lru_cache_wrapper, lru_cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from sqlalchemy import Engine

ROOT = Path(__file__).parents[1]
OURS = ("tenancy", "mail", "clinic", "ui", "admin_app", "portal_app", "wsgi")
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
                _Replace(node, _naming_the_same(changed, node)).visit(tree)
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


def _naming_the_same(changed: ast.AST, node: ast.AST) -> ast.AST:
    """A function takes other code only with the outer names of its own, so what is left out stays there, unreached."""
    if isinstance(changed, ast.Pass) and isinstance(node, ast.stmt):
        return ast.If(ast.Constant(False), [copy.deepcopy(node)], [])
    if isinstance(changed, ast.Return) and isinstance(node, ast.Return) and node.value:
        return ast.Return(ast.BoolOp(ast.And(), [ast.Constant(None), copy.deepcopy(node.value)]))
    return changed


def plant(mutant: Mutant) -> bool:
    """Give every living function of the module the changed code, and its constants their changed values.

    Returns whether there was anything to change.
    """
    is_planted = False
    filename = str(mutant.path)
    module = next(each for each in list(sys.modules.values()) if getattr(each, "__file__", None) == filename)
    codes = {code.co_qualname: code for code in _codes(compile(mutant.tree, filename, "exec"))}
    for function in living()[FunctionType]:
        old = function.__code__
        new = codes.get(old.co_qualname) if old.co_filename == filename else None
        if new is not None and new.co_freevars == old.co_freevars and new != old:
            function.__code__ = new
            is_planted = True
    for cached in living()[_lru_cache_wrapper]:
        if cached.__module__ == module.__name__:
            cached.cache_clear()
    for statement in mutant.tree.body:
        is_value = isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None
        if is_value and statement.lineno <= mutant.line <= (statement.end_lineno or 0):
            _run(statement, module)
            _carry_on(module, _given(statement))
            is_planted = True
    return is_planted


@lru_cache
def living() -> dict[type, list[Any]]:
    """What of our kinds lived when this was first asked: before the first fork, since looking takes longer than many tests."""
    gc.unfreeze()  # what tests set aside from collecting is not found otherwise
    everything = gc.get_objects()
    gc.freeze()
    return {kind: [each for each in everything if isinstance(each, kind)] for kind in (FunctionType, _lru_cache_wrapper, Engine)}


def _run(statement: ast.stmt, module: ModuleType) -> None:
    exec(compile(ast.Module([statement], []), module.__file__ or "", "exec"), module.__dict__)


def _carry_on(module: ModuleType, names: set[str]) -> None:
    """Make anew what was made at import from these names, and what was made from that, the elder modules first."""
    changed = {(module.__name__, name) for name in names}
    for each, body in _bodies().items():
        for statement in body:
            anew = _made_from(statement, each, changed) - changed
            if anew:
                _run(statement, each)
                changed |= anew


def _made_from(statement: ast.stmt, module: ModuleType, changed: set[tuple[str, str]]) -> set[tuple[str, str]]:
    if isinstance(statement, ast.ImportFrom):
        taken = [each for each in statement.names if (statement.module, each.name) in changed]
        return {(module.__name__, each.asname or each.name) for each in taken}
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
        return set()
    read = {(module.__name__, node.id) for node in ast.walk(statement.value) if isinstance(node, ast.Name)}
    for node in ast.walk(statement.value):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            read.add((getattr(module.__dict__.get(node.value.id), "__name__", ""), node.attr))
    return {(module.__name__, name) for name in _given(statement)} if read & changed else set()


def _given(statement: ast.stmt) -> set[str]:
    """The names that a statement gives a value."""
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _bodies() -> dict[ModuleType, list[ast.stmt]]:
    """Our modules and their statements, each after those that it imports from."""
    waiting = {name: each for name, each in sys.modules.items() if name.partition(".")[0] in OURS and each.__file__}
    ordered: dict[ModuleType, list[ast.stmt]] = {}

    def visit(name: str) -> None:
        if module := waiting.pop(name, None):
            body = ast.parse(Path(module.__file__ or "").read_text()).body
            for statement in [each for each in body if isinstance(each, ast.ImportFrom)]:
                for taken in (str(statement.module), *(f"{statement.module}.{each.name}" for each in statement.names)):
                    visit(taken)
            ordered[module] = body

    for name in list(waiting):
        visit(name)
    return ordered


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)
