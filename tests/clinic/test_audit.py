"""The audit log: what an entry holds, its anchors, its commands, and the chain of what was there before.

Lost if it fails: a clinic cannot say who saw a record, or cannot prove that the answer is the whole one.
"""

import logging
import os
import runpy
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from flask import Flask
from sqlalchemy import select, text

from clinic import actors, audit, demo
from clinic.actors import Actor, ActorKind
from clinic.audit import AuditEntry, Result, anchors, chain
from clinic.audit.chain import Breach, Fault
from tenancy import clinics, clock, jobs, provisioning, requests
from tenancy.client_address import NOBODYS
from tenancy.database import db, transaction
from tenancy.tenant import Role
from tests.inside import acting, inside, member, patient

MIGRATION = Path(__file__).parents[2] / "migrations" / "versions" / "0005_the_audit_chain.py"


@pytest.fixture
def folder(app: Flask, tmp_path: Path) -> Iterator[Path]:
    """Where anchors are kept for one test."""
    kept = app.config["PORTICO"]
    app.config["PORTICO"] = replace(kept, audit_anchors=tmp_path)
    yield tmp_path
    app.config["PORTICO"] = kept


def newest() -> AuditEntry:
    return db.session.scalars(select(AuditEntry).order_by(AuditEntry.number.desc()).limit(1)).one()


def run(app: Flask, *arguments: str) -> tuple[int, str]:
    found = app.test_cli_runner().invoke(args=["audit", *arguments])
    return found.exit_code, found.output


def test_an_entry_says_who_in_which_role_in_which_request_and_from_where(app: Flask) -> None:
    with inside(app, demo.ELM), requests.answering(NOBODYS):
        asked = requests.find_current()
        with acting("ana@elm.example"):
            audit.record("document.signed", subject_id=(document := uuid4()), patient_id=patient("Leo Lopez").id, pages=3)
        entry = newest()
        assert asked and (entry.request_id, entry.address) == (asked.id, "::")
        assert (entry.event, entry.result, entry.subject_id, entry.details) == ("document.signed", "done", document, {"pages": 3})
        assert (entry.actor_kind, entry.actor_id, entry.actor_name) == ("staff", member("ana@elm.example").id, None)


@pytest.mark.parametrize(
    ("actor", "in_request", "role"),
    [
        (Actor(ActorKind.STAFF, uuid4(), role="billing"), True, "billing"),
        (Actor(ActorKind.STAFF, uuid4()), False, "staff"),
        (Actor(ActorKind.PORTAL_USER, uuid4()), True, "portal"),
        (Actor(ActorKind.OPERATOR, name="Olga"), False, "operator"),
        (actors.SYSTEM, True, "visitor"),
        (actors.SYSTEM, False, "job"),
    ],
)
def test_an_entry_says_in_which_role(app: Flask, actor: Actor, in_request: bool, role: str) -> None:
    with inside(app, demo.ELM), actors.acting(actor):
        if in_request:
            with requests.answering(NOBODYS):
                audit.record("test.written")
        else:
            audit.record("test.written")
        assert newest().actor_role == role


def test_a_look_at_several_patients_names_each_and_one_at_one_is_found_by_it(app: Flask) -> None:
    with inside(app, demo.ELM):
        leo, mia = patient("Leo Lopez").id, patient("Mia Lopez").id
        audit.record_view("home.viewed", subject_id=None, patient_ids=(leo, mia))
        assert newest().patient_id is None and newest().details == {"patients": [str(leo), str(mia)]}
        audit.record_view("home.viewed", subject_id=None, patient_ids=(leo,))
        assert newest().patient_id == leo and newest().details == {}


def test_a_look_that_counts_once_in_a_session_counts_once_more_in_the_next(app: Flask) -> None:
    with inside(app, demo.ELM):
        before, document = newest().number or 0, uuid4()
        for session in (one := uuid4(), one, uuid4()):
            audit.record_view("document.opened", subject_id=document, once_in=session)
        audit.record_view("document.downloaded", subject_id=document, once_in=one)
        audit.record_view("document.opened", subject_id=uuid4(), once_in=one)
        assert newest().number == before + 4


def test_refusals_and_failures_keep_ids_and_nothing_else_of_the_address(app: Flask) -> None:
    with inside(app, demo.ELM):
        audit.record_refusal("portal.document", {"document_id": (one := uuid4()), "name": "Leo"})
        assert newest().result == Result.REFUSED and newest().details == {"page": "portal.document", "ids": {"document_id": str(one)}}
        audit.record_failure("portal.home", {})
        assert newest().result == Result.FAILED and newest().details == {"page": "portal.home", "ids": {}}


def test_a_line_of_the_log_names_its_request() -> None:
    line = logging.LogRecord("x", logging.ERROR, "x.py", 1, "broke", None, None)
    assert requests.NamesRequest().filter(line) and line.request_id == "-"
    with requests.answering(NOBODYS):
        assert requests.NamesRequest().filter(line) and line.request_id == requests.find_current().id  # type: ignore[union-attr]


def test_a_head_is_anchored_once_until_the_chain_grows(app: Flask, folder: Path) -> None:
    with app.app_context():
        jobs.walk_clinics(anchors.anchor_heads, Role.AUDITOR)
        jobs.walk_clinics(anchors.anchor_heads, Role.AUDITOR)
    with inside(app, demo.ELM) as elm:
        audit.record("test.written")
        head = chain.head()
    with app.app_context(), clinics.open_clinic(elm, Role.AUDITOR):
        anchors.anchor_heads()
        kept = anchors.of_clinic(folder)
    assert len(kept) == 2 and kept[-1] == head and kept[0].number < kept[1].number
    assert (folder / f"{elm.id}.anchors").stat().st_mode & 0o077 == 0


def test_a_suspended_clinic_is_anchored_too(app: Flask, folder: Path) -> None:
    """Whoever means to cut its end would only have to wait for the suspension."""
    assert app.test_cli_runner().invoke(args=["clinics", "suspend", demo.OAK]).exit_code == 0
    with app.app_context():
        jobs.walk_clinics(anchors.anchor_heads, Role.AUDITOR, suspended=True)
    assert len(list(folder.iterdir())) == 2


def test_an_empty_file_of_anchors_is_no_anchor(app: Flask, folder: Path) -> None:
    with inside(app, demo.ELM) as elm:
        pass
    (folder / f"{elm.id}.anchors").touch()
    assert run(app, "anchor", demo.ELM)[0] == 0
    with app.app_context(), clinics.open_clinic(elm, Role.AUDITOR):
        assert len(anchors.of_clinic(folder)) == 1


def test_what_is_broken_far_above_the_end_stops_no_anchor(app: Flask, folder: Path) -> None:
    """And the end is found at once, however many years the file has grown."""
    with inside(app, demo.ELM) as elm:
        pass
    path = folder / f"{elm.id}.anchors"
    path.write_bytes(b"\xff\n" + b"x" * anchors.LONGEST_LINE + b"\n")
    for _ in range(2):
        assert run(app, "anchor", demo.ELM)[0] == 0
        assert path.read_bytes().count(b"\n") == 3


def test_an_anchor_is_on_disk_before_anybody_relies_on_it(app: Flask, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut takes it back, and with it the proof that nothing was cut off."""
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").read_text()))
    assert run(app, "anchor", demo.ELM)[0] == 0
    (path,) = folder.iterdir()
    assert synced == [path.read_text()]


def test_nothing_is_anchored_where_no_folder_is_set_and_the_commands_say_so(app: Flask) -> None:
    with app.app_context():
        jobs.walk_clinics(anchors.anchor_heads, Role.AUDITOR)
    code, said = run(app, "anchor")
    assert code == 1 and "elm-street: " in said and "is not set, so nothing was written" in said
    code, said = run(app, "verify")
    assert code == 0 and "elm-street: sound, " in said and "cannot be seen" in said


def test_a_clinic_without_any_entry_is_sound(app: Flask, folder: Path) -> None:
    nowhere = uuid4()
    with app.app_context(), clinics.open_clinic(nowhere, Role.AUDITOR):
        with transaction():
            assert chain.verify() is None and chain.head() is None and chain.begun_at() is None
        assert anchors.anchor(folder) is None
        with transaction():
            gone = chain.Head(3, b"x", clock.now())
            assert chain.verify([gone]) == Fault(1, Breach.CUT)


def test_a_clinic_without_any_entry_has_no_head_to_anchor(app: Flask, folder: Path) -> None:
    with app.app_context(), clinics.open_clinic(provisioning.new_clinic_id(), Role.OPERATOR), transaction():
        provisioning.create(name="Ash Lane", slug="ash-lane")
    code, said = run(app, "anchor")
    assert code == 0 and "elm-street: " in said and "ash-lane" not in said
    assert "ash-lane: sound, 0 entries." in run(app, "verify")[1]


MISSING_12, CHANGED_20 = Fault(12, Breach.MISSING), Fault(20, Breach.CHANGED)
UNCHAINED_31, CUT_15, REWRITTEN_1 = Fault(31, Breach.UNCHAINED), Fault(15, Breach.CUT), Fault(1, Breach.REWRITTEN)


@pytest.mark.parametrize(
    ("broken", "unchained", "unlike", "found"),
    [
        (None, None, (None, 30), None),
        (MISSING_12, None, (None, 30), MISSING_12),
        (None, UNCHAINED_31, (None, 30), UNCHAINED_31),  # after the last anchor
        (MISSING_12, UNCHAINED_31, (None, 30), MISSING_12),
        (None, None, (CUT_15, 15), CUT_15),
        (MISSING_12, None, (CUT_15, 15), MISSING_12),
        (CHANGED_20, None, (CUT_15, 15), CUT_15),
        (CHANGED_20, None, (REWRITTEN_1, 20), CHANGED_20),  # the very entry that was anchored: no need to guess
        (UNCHAINED_31, None, (REWRITTEN_1, 20), REWRITTEN_1),
    ],
)
def test_of_several_faults_the_first_is_named_and_a_certain_one_before_a_guess(
    monkeypatch: pytest.MonkeyPatch, broken: Fault | None, unchained: Fault | None,
    unlike: tuple[Fault | None, int], found: Fault | None,
) -> None:  # fmt: skip
    monkeypatch.setattr(chain, "_first_break", lambda: broken)
    monkeypatch.setattr(chain, "_first_unchained", lambda: unchained)
    monkeypatch.setattr(chain, "_first_unlike", lambda anchors: unlike)
    assert chain.verify() == found


def test_what_is_unlike_its_anchor_was_rewritten_after_the_last_good_one(app: Flask) -> None:
    with inside(app, demo.ELM, Role.AUDITOR):
        head = chain.head()
        assert head
        second = chain.Head(*db.session.execute(text("SELECT number, hash, at FROM audit_entries WHERE number = 2")).one())
        other = replace(head, hash=b"another")
        assert chain.verify([second, head]) is None
        assert chain.verify([other]) == Fault(1, Breach.REWRITTEN)
        assert chain.verify([second, other]) == Fault(3, Breach.REWRITTEN)


def test_an_unknown_clinic_is_said_in_a_sentence(app: Flask) -> None:
    code, said = run(app, "verify", "nowhere")
    assert code == 1 and "There is no clinic at nowhere." in said


def test_a_young_log_may_still_wait_for_its_first_anchor(app: Flask, folder: Path) -> None:
    assert run(app, "verify", demo.ELM)[0] == 0
    with clock.moved(timedelta(hours=2)):
        code, said = run(app, "verify", demo.ELM)
    assert code == 1 and "was never anchored" in said


def test_what_was_there_before_the_chain_is_chained_in_order(committed_app: Flask) -> None:
    """An old clinic's log would otherwise begin on the day of the upgrade. As the migration does it, as the schema's owner."""
    upgrade = runpy.run_path(str(MIGRATION))["CHAIN_WHAT_IS_THERE"]
    url = committed_app.config["PORTICO"].database_owner_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("ALTER TABLE audit_entries NO FORCE ROW LEVEL SECURITY")
        counted = owner.execute(
            "UPDATE audit_entries SET number = NULL, previous_hash = NULL, hash = NULL, at = at - random() * interval '9 days'"
        ).rowcount
        owner.execute(upgrade)
        owner.execute("ALTER TABLE audit_entries FORCE ROW LEVEL SECURITY")
    entries = 0
    for slug in (demo.ELM, demo.OAK):
        with inside(committed_app, slug):
            found = db.session.scalars(select(AuditEntry.at).order_by(AuditEntry.number)).all()
            assert list(found) == sorted(found)
            entries += len(found)
            audit.record("test.written")
        with inside(committed_app, slug, Role.AUDITOR):
            assert chain.verify() is None and (head := chain.head()) and head.number == len(found) + 1
    assert entries == counted > 20


def test_an_auditor_reads_the_log_and_nothing_else(app: Flask) -> None:
    with inside(app, demo.ELM, Role.AUDITOR):
        assert db.session.scalars(text("SELECT count(*) FROM audit_entries")).one() > 0
    for table in ("patients", "staff_members", "portal_users", "documents"):
        with pytest.raises(Exception, match="permission denied"), inside(app, demo.ELM, Role.AUDITOR):
            db.session.execute(text(f"SELECT * FROM {table}"))
