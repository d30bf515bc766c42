"""The walls of the house: what the drawing forbids, nobody has to remember.

Lost if they fall: the rules that keep clinics apart become habits, and habits are forgotten.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from tenancy.database import Base
from tests.conftest import Cluster

ROOT = Path(__file__).parents[2]
FLOORS = ("tenancy", "mail", "clinic", "ui", "admin_app", "portal_app")
NO_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager", "dao", "service", "services"}
# Text in a template that no translator needs: punctuation, entities, and code between tags of the error mark.
_JINJA = re.compile(r"\{#.*?#\}|\{%.*?%\}[-\w]*|\{\{.*?\}\}[-\w]*", re.S)
_TAGS = re.compile(r"<(svg|style|script)\b.*?</\1>|<!--.*?-->|<[^>]*>", re.S)
_WORD = re.compile(r"[A-Za-z]{2,}")


def modules() -> Iterator[Path]:
    for floor in FLOORS:
        yield from sorted((ROOT / floor).rglob("*.py"))
    yield ROOT / "wsgi.py"


def templates() -> Iterator[Path]:
    for floor in FLOORS:
        yield from sorted((ROOT / floor).rglob("*.html"))


def calls_of(path: Path, name: str) -> list[int]:
    """Lines where a method of this name is called."""
    tree = ast.parse(path.read_text())
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name
    ]


def untranslated(text: str) -> list[str]:
    """Words of a template that would stay English in every language."""
    return _WORD.findall(_TAGS.sub(" ", _JINJA.sub(" ", text)).replace("&nbsp;", " ").replace("&middot;", " "))


def test_only_the_outermost_layer_commits() -> None:
    for path in modules():
        for name in ("commit", "rollback"):
            assert not calls_of(path, name), f"{path}: {name}()"


def test_planted_a_commit_is_seen(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("def add(session):\n    session.commit()\n")
    assert calls_of(planted, "commit") == [2]


def test_no_domain_function_takes_a_clinic_id() -> None:
    for path in sorted((ROOT / "clinic").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                names = {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
                assert "clinic_id" not in names, f"{path}:{node.lineno}"


def test_no_module_is_named_for_nothing() -> None:
    for path in modules():
        assert path.stem not in NO_NAMES, path


def test_nobody_imports_the_roof() -> None:
    for path in modules():
        assert not re.search(r"^(?:from|import) wsgi\b(?!ref)", path.read_text(), re.M), path


def test_no_module_outgrows_its_noun() -> None:
    for path in modules():
        lines = len(path.read_text().splitlines())
        assert lines <= 300, f"{path} has {lines} lines: make it a package of the same name"


def test_templates_hold_no_way_round_escaping_and_nothing_inline() -> None:
    for path in templates():
        text = path.read_text()
        assert not re.search(r"\|\s*safe\b", text), path
        if "mail/templates" in str(path):
            continue
        assert not re.search(r"\sstyle=|\son[a-z]+=\"|<style|<script(?![^>]*\bsrc=)", text), path


def test_every_word_a_person_reads_can_be_translated() -> None:
    for path in templates():
        left = [word for word in untranslated(path.read_text()) if word not in ("Portico",)]
        assert not left, (path, left)


def test_planted_a_bare_word_is_seen() -> None:
    assert untranslated("<p class='x'>{{ _('Fine') }} <b>Balance</b></p>") == ["Balance"]


def test_nothing_asks_the_request_for_its_host_to_make_an_address() -> None:
    for path in modules():
        text = path.read_text()
        assert "_external" not in text and "request.host" not in text, path


def test_the_models_are_what_the_migrations_make(cluster: Cluster) -> None:
    engine = create_engine(cluster.settings.database_owner_url or "")
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": lambda thing, name, kind, *_: name != "alembic_version"}
        )
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_row_security_can_be_applied_again(cluster: Cluster) -> None:
    """It is applied after every upgrade, so it must be the same the second time."""
    settings = cluster.copy()
    engine = create_engine(settings.database_owner_url or "")
    with engine.begin() as connection:
        sql = (ROOT / "migrations" / "row_security.sql").read_text()
        count = "SELECT count(*) FROM pg_policies WHERE schemaname = 'public'"
        before = connection.exec_driver_sql(count).scalar_one()
        connection.exec_driver_sql(sql.replace("%", "%%"))
        assert connection.exec_driver_sql(count).scalar_one() == before
    engine.dispose()
    cluster.drop(settings)


