"""Lost if it fails: a test leaves something to the next, or sees what was undone, and what either says is worth nothing."""

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DataError

from clinic import demo
from tenancy.database import db
from tests.inside import inside
from tests.one_connection import rolled_back, undone


def name(app: Flask) -> str:
    with inside(app, demo.ELM):
        found: str = db.session.scalars(text("SELECT name FROM clinics WHERE id = app.clinic_id()")).one()
    return found


def rename(app: Flask, new: str) -> None:
    with inside(app, demo.ELM):
        db.session.execute(text("UPDATE clinics SET name = :new WHERE id = app.clinic_id()"), {"new": new})


def test_what_is_changed_in_a_block_is_as_before_after_it(app: Flask) -> None:
    before = name(app)
    for new in ("Once", "Twice"):
        with undone(app):
            assert name(app) == before
            rename(app, new)
            with undone(app):
                rename(app, "Within")
            assert name(app) == new
    with undone(app):
        pass
    assert name(app) == before
    rename(app, "For good")
    assert name(app) == "For good"


def test_a_fault_undoes_its_own_transaction_only(app: Flask) -> None:
    rename(app, "Before")
    for _ in range(2):
        with undone(app):
            rename(app, "Meanwhile")
            with pytest.raises(DataError), inside(app, demo.ELM):
                db.session.execute(text("UPDATE clinics SET name = 'Half'"))
                db.session.execute(text("SELECT 1 / 0"))
            assert name(app) == "Meanwhile"
            with inside(app, demo.ELM):
                with pytest.raises(DataError), db.session.begin_nested():
                    db.session.execute(text("SELECT 1 / 0"))
                db.session.execute(text("SELECT 1"))
        assert name(app) == "Before"


def test_nothing_is_left_after_the_test(_standing_app: Flask) -> None:
    with rolled_back(_standing_app):
        before = name(_standing_app)
        rename(_standing_app, "Left")
    with rolled_back(_standing_app):
        assert name(_standing_app) == before
