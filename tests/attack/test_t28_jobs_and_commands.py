"""T28: jobs and commands run in the clinic they name, all or nothing, and under somebody's own name.

Lost if it fails: a job carries one clinic's invitations out in another; one clinic's error stops everybody's letters, or
is answered with another clinic's rows; a clinic stands half made; or nobody can say which operator suspended it.

job row whose `clinic_id` is not its object's · job without a clinic · exception between two clinics' jobs · a command
for A on what is B's · provisioning twice, half killed, same address in parallel · a loop over all clinics with one
failing · every run of a command audited under the operator's own name, never "root"
"""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import click
import psycopg
import pytest
from flask import Flask
from sqlalchemy import select, text

from clinic import actors, cli, demo, invitation_batches, reset_requests, staff
from clinic.invitation_batches import CARRY_OUT
from mail import outbox
from mail import worker as mail_worker
from tenancy import clinics, jobs, tenant
from tenancy.clinics import ClinicAddress, ClinicEntry
from tenancy.database import db, transaction
from tenancy.tenant import Role
from tests.attack.test_races import at_once
from tests.house import whole_database
from tests.inside import inside, pair

Administrator = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def administrator(administrator: Administrator) -> Administrator:
    """Also at home in the queue's schema, whose own triggers expect it."""
    administrator.execute("SET search_path = public, q")
    return administrator


def id_of(app: Flask, slug: str) -> UUID:
    with inside(app, slug) as clinic:
        return clinic.id


def put(administrator: Administrator, task: str, **arguments: Any) -> int:
    """A row in the queue that no code of ours has written."""
    return int(
        administrator.execute(
            "INSERT INTO q.procrastinate_jobs (queue_name, task_name, args, status, priority) "
            "VALUES ('t28', %s, %s, 'todo', 0) RETURNING id",
            (task, json.dumps(arguments)),
        ).fetchone()[0]  # type: ignore[index]
    )


def work_off(app: Flask) -> None:
    """The worker, until nothing of what `put` has put is left to do."""

    with jobs.worker(app.config["PORTICO"]) as queue:
        queue.run_worker(
            queues=["t28"], concurrency=1, wait=False, install_signal_handlers=False, additional_context={"flask": app},
            delete_jobs="successful", listen_notify=False,
        )  # fmt: skip


def state_of(administrator: Administrator, job_id: int) -> str | None:
    row = administrator.execute("SELECT status::text FROM q.procrastinate_jobs WHERE id = %s", (job_id,)).fetchone()
    return row[0] if row else None


def confirmed_batch(app: Flask) -> UUID:
    """Elm's, confirmed and not yet carried out."""
    with inside(app, demo.ELM):
        batch = invitation_batches.choose([pair("Gus Grant", "Sam Grant").id])
        batch.confirmed_at = batch.made_at
        return batch.id


def clinic_rows(connection: whole_database.Connection, clinic_id: UUID) -> dict[str, str]:
    return whole_database.fingerprints(connection, clinic_id)


# A job row that is not its clinic's ---------------------------------------------------------------------------------


def check_is_refused(app: Flask, administrator: Administrator, caplog: pytest.LogCaptureFixture, task: str, **arguments: Any) -> None:
    before = whole_database.fingerprints(administrator)
    job = put(administrator, task, **arguments)
    work_off(app)
    assert state_of(administrator, job) == "aborted", "refused for good, and kept to be looked at"
    assert whole_database.fingerprints(administrator) == before
    assert [each for each in caplog.records if each.levelno >= logging.ERROR and "job.refused" in each.getMessage()]


def test_a_job_about_another_clinics_thing_is_refused(
    committed_app: Flask, administrator: Administrator, caplog: pytest.LogCaptureFixture
) -> None:
    elms = confirmed_batch(committed_app)
    oak = id_of(committed_app, demo.OAK)
    check_is_refused(committed_app, administrator, caplog, CARRY_OUT, clinic_id=str(oak), batch_id=str(elms))


def test_planted_the_wall_is_down_and_the_job_is_carried_out_abroad(
    committed_app: Flask, administrator: Administrator, caplog: pytest.LogCaptureFixture
) -> None:
    whole_database.plant(administrator, "ALTER POLICY clinic ON invitation_batches USING (true) WITH CHECK (true)")
    elms = confirmed_batch(committed_app)
    oak = id_of(committed_app, demo.OAK)
    with pytest.raises(AssertionError):
        check_is_refused(committed_app, administrator, caplog, CARRY_OUT, clinic_id=str(oak), batch_id=str(elms))


def test_a_sealed_address_is_read_in_its_own_clinic_only(
    committed_app: Flask, administrator: Administrator, caplog: pytest.LogCaptureFixture
) -> None:
    """Maria is known at both: her request at Elm must not mail her a link of Oak's."""
    with inside(committed_app, demo.ELM, Role.DOOR):
        reset_requests.ask("maria@family.example", of_staff=False)
    row = administrator.execute(
        "DELETE FROM q.procrastinate_jobs WHERE task_name = %s RETURNING args", (reset_requests.MAIL,)
    ).fetchone()
    assert row
    moved = {**row[0], "clinic_id": str(id_of(committed_app, demo.OAK))}
    check_is_refused(committed_app, administrator, caplog, reset_requests.MAIL, **moved)


def test_a_job_without_a_clinic_is_refused(
    committed_app: Flask, administrator: Administrator, caplog: pytest.LogCaptureFixture
) -> None:
    check_is_refused(committed_app, administrator, caplog, outbox.DELIVER)
    for none in ("", "elm-street", None, 7, str(uuid4())):
        check_is_refused(committed_app, administrator, caplog, outbox.DELIVER, clinic_id=none)


def test_a_batch_that_nobody_confirmed_is_not_carried_out(
    committed_app: Flask, administrator: Administrator, caplog: pytest.LogCaptureFixture
) -> None:
    with inside(committed_app, demo.ELM) as elm:
        draft = invitation_batches.choose([pair("Gus Grant", "Sam Grant").id]).id
    check_is_refused(committed_app, administrator, caplog, CARRY_OUT, clinic_id=str(elm.id), batch_id=str(draft))


def test_planted_a_job_that_takes_any_clinic_for_granted(
    committed_app: Flask, administrator: Administrator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_clinic_named", lambda clinic_id: id_of(committed_app, demo.ELM))
    with pytest.raises(AssertionError):
        check_is_refused(committed_app, administrator, caplog, outbox.DELIVER, clinic_id="")


@pytest.mark.parametrize("role", list(Role))
def test_no_role_enqueues_for_another_clinic(app: Flask, role: Role) -> None:
    """Else what is said to one clinic's page is done in another."""
    oak = id_of(app, demo.OAK)
    with pytest.raises(Exception, match="row-level security|permission denied"), inside(app, demo.ELM, role):
        db.session.execute(
            text("INSERT INTO q.procrastinate_jobs (queue_name, task_name, args) VALUES ('default', 'x', :args)"),
            {"args": json.dumps({"clinic_id": str(oak)})},
        )


# One clinic's error ---------------------------------------------------------------------------------------------------


def check_each_its_own(app: Flask, administrator: Administrator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elm's job writes, then fails; Oak's, by the same worker, writes too."""
    elm, oak = id_of(app, demo.ELM), id_of(app, demo.OAK)
    seen = []

    def deliver() -> None:
        asking = tenant.current()
        seen.append((asking.clinic_id, asking.role, actors.current()))
        with transaction():
            db.session.execute(text("UPDATE letters SET tries = 77"))
            actors.become(actors.Actor(actors.ActorKind.OPERATOR, name="left behind"))
            if asking.clinic_id == elm:
                raise RuntimeError("Elm's")

    wrapped = jobs.queue.tasks[outbox.DELIVER]
    monkeypatch.setattr(wrapped, "func", wrapped.func)
    cells = dict(zip(wrapped.func.__code__.co_freevars, wrapped.func.__closure__ or (), strict=True))
    kept = cells["work"].cell_contents
    cells["work"].cell_contents = deliver
    try:
        first = put(administrator, outbox.DELIVER, clinic_id=str(elm))
        put(administrator, outbox.DELIVER, clinic_id=str(oak))
        work_off(app)
    finally:
        cells["work"].cell_contents = kept
    assert state_of(administrator, first) == "failed"
    assert set(seen) == {(elm, Role.MAILER, actors.SYSTEM), (oak, Role.MAILER, actors.SYSTEM)}
    touched = "SELECT DISTINCT clinic_id FROM letters WHERE tries = 77"
    assert [row[0] for row in administrator.execute(touched)] == [oak]
    assert tenant.find_current() is None


def test_an_exception_in_one_clinics_job_leaves_nothing_to_the_next(
    committed_app: Flask, administrator: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    administrator.execute("DELETE FROM q.procrastinate_jobs")
    check_each_its_own(committed_app, administrator, monkeypatch)


def test_planted_a_worker_that_stays_where_it_was(
    committed_app: Flask, administrator: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clinic of the first job is open for the second."""
    administrator.execute("DELETE FROM q.procrastinate_jobs")
    opened: list[UUID] = []

    def first_only(clinic: ClinicEntry | UUID, role: Role) -> Any:
        opened.append(clinic if isinstance(clinic, UUID) else clinic.id)
        return tenant.opened(tenant.Tenant(opened[0], role))

    monkeypatch.setattr(clinics, "open_clinic", first_only)
    with pytest.raises(AssertionError):
        check_each_its_own(committed_app, administrator, monkeypatch)


def check_the_others_go_on(app: Flask, administrator: Administrator, walk: Callable[[Callable[[], None]], None]) -> None:
    """Every clinic in turn; the first, by name, fails after it has written."""
    invoke(app, "create", "--name", "Zebra Lane", "--admin-email", "zoe@zebra.example")
    visited: list[UUID] = []
    held: list[outbox.OutgoingLetter] = []  # as a careless job would

    def work() -> None:
        with transaction():
            assert not list(db.session.identity_map.keys()), "another clinic's rows are at hand"
            held.extend(db.session.scalars(select(outbox.OutgoingLetter)))
            db.session.execute(text("UPDATE letters SET tries = 78"))
            visited.append(tenant.current_clinic_id())
            if len(visited) == 1:
                raise RuntimeError("the first fails")

    with app.app_context():
        walk(work)
        with transaction():
            everybody = [each.id for each in clinics.in_directory()]
    assert visited == everybody and len(everybody) == 3
    touched = {row[0] for row in administrator.execute("SELECT DISTINCT clinic_id FROM letters WHERE tries = 78")}
    assert touched == set(everybody[1:])


def test_one_clinics_failure_does_not_stop_a_walk(
    committed_app: Flask, administrator: Administrator, caplog: pytest.LogCaptureFixture
) -> None:
    check_the_others_go_on(committed_app, administrator, lambda work: jobs.walk_clinics(work, Role.MAILER))
    told = [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]
    assert told == [f"A periodic job failed in clinic {id_of(committed_app, demo.ELM)}"]


def test_planted_a_walk_that_stops_at_the_first_failure(committed_app: Flask, administrator: Administrator) -> None:
    def walk(work: Callable[[], None]) -> None:
        with transaction():
            listed = clinics.in_directory()
        for clinic in listed:
            with clinics.open_clinic(clinic, Role.MAILER):
                work()

    with pytest.raises((AssertionError, RuntimeError)):
        check_the_others_go_on(committed_app, administrator, walk)


def test_planted_a_walk_with_one_memory(committed_app: Flask, administrator: Administrator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db.session, "remove", lambda: None)
    with pytest.raises(AssertionError):
        check_the_others_go_on(committed_app, administrator, lambda work: jobs.walk_clinics(work, Role.MAILER))


# Commands -------------------------------------------------------------------------------------------------------------


def invoke(app: Flask, *arguments: str, fails: bool = False) -> str:
    run = app.test_cli_runner().invoke(args=["clinics", *arguments])
    assert (run.exit_code == 1) == fails and (fails or run.exit_code == 0), run.output
    assert "Traceback" not in run.output
    return run.output


READS = {"list": [], "show": [demo.ELM]}
# command → what it is told, about Elm Street; and the event it leaves there
CHANGES = {
    "rename": ([demo.ELM, "elm-lane"], "portal.renamed"),
    "plan": ([demo.ELM, "core"], "plan.changed"),
    "suspend": ([demo.ELM], "status.changed"),
    "resume": ([demo.ELM], "status.changed"),
    "add-admin": ([demo.ELM, "--email", "ola@oak.example"], "staff_member.invited"),  # an address of Oak's staff
    "create": (["--name", "Ash Lane", "--admin-email", "ben@elm.example"], "clinic.created"),
}


def test_every_command_is_known_to_read_or_to_change() -> None:
    """A command that is missing here is run by no test below."""
    others = {"reset-sign-in"} & set(cli.group.commands)  # tests/clinic has its own
    assert set(cli.group.commands) - others == READS.keys() | CHANGES.keys()


def check_command_stays_inside(app: Flask, administrator: Administrator, command: str) -> None:
    oak, elm = id_of(app, demo.OAK), id_of(app, demo.ELM)
    before = clinic_rows(administrator, oak)
    arguments, event = CHANGES[command]
    invoke(app, command, *arguments)
    assert clinic_rows(administrator, oak) == before
    written = administrator.execute(
        "SELECT actor_kind, actor_name, clinic_id FROM audit_entries WHERE event = %s AND actor_kind = 'operator'", (event,)
    ).fetchall()
    assert written and {(kind, name) for kind, name, _ in written} == {("operator", "Olga Operator")}
    assert oak not in {clinic_id for _, _, clinic_id in written}
    if command != "create":
        assert {clinic_id for _, _, clinic_id in written} == {elm}


@pytest.mark.parametrize("command", CHANGES)
def test_a_command_changes_its_own_clinic_under_the_operators_name(
    committed_app: Flask, administrator: Administrator, command: str
) -> None:
    check_command_stays_inside(committed_app, administrator, command)


def test_planted_a_command_that_reaches_into_another_clinic(committed_app: Flask, administrator: Administrator) -> None:
    """The operator's role sees the staff of all clinics: Oak's Ola is found, and made nothing of at Elm."""
    whole_database.plant(administrator, "ALTER POLICY operator ON staff_members USING (true) WITH CHECK (true)")
    committed_app.config["PROPAGATE_EXCEPTIONS"] = False
    with pytest.raises(AssertionError):
        check_command_stays_inside(committed_app, administrator, "add-admin")


def test_planted_a_change_that_nobody_signed(
    committed_app: Flask, administrator: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "operator", lambda: actors.SYSTEM)
    with pytest.raises(AssertionError):
        check_command_stays_inside(committed_app, administrator, "plan")


def test_a_command_for_no_clinic_is_a_sentence_and_changes_nothing(
    committed_app: Flask, administrator: Administrator
) -> None:
    before = whole_database.fingerprints(administrator)
    for arguments in (
        ("rename", "no-such-clinic", "elm-lane"), ("plan", str(uuid4()), "core"), ("suspend", "x' OR '1'='1"),
        ("add-admin", "no-such-clinic", "--email", "a@b.example"), ("show", "no-such-clinic"),
    ):  # fmt: skip
        assert "There is no clinic at" in invoke(committed_app, *arguments, fails=True)
    assert whole_database.fingerprints(administrator) == before


@pytest.fixture
def nobody(committed_app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """An operator who has not said who they are."""
    committed_app.config["PORTICO"] = replace(committed_app.config["PORTICO"], operator=None)
    monkeypatch.delenv("SUDO_USER", raising=False)
    yield committed_app


def test_root_is_nobody(nobody: Flask, administrator: Administrator, monkeypatch: pytest.MonkeyPatch) -> None:
    """"root did it" says nothing about who sat there."""
    before = whole_database.fingerprints(administrator)
    for login in ("root", "ROOT", " root ", "", "Administrator"):
        monkeypatch.setattr(cli.getpass, "getuser", lambda login=login: login)
        for command, (arguments, _event) in CHANGES.items():
            assert "Say who you are" in invoke(nobody, command, *arguments, fails=True)
    assert whole_database.fingerprints(administrator) == before


def test_a_user_without_a_name_is_asked_for_one(nobody: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(cli.getpass, "getuser", nameless)
    assert "Say who you are" in invoke(nobody, "plan", demo.ELM, "core", fails=True)


@pytest.mark.parametrize(("variable", "login", "name"), [("hanna", "root", "hanna"), (None, "paul", "paul")])
def test_who_became_root_is_known_by_their_own_name(
    nobody: Flask, monkeypatch: pytest.MonkeyPatch, variable: str | None, login: str, name: str
) -> None:
    monkeypatch.setattr(cli.getpass, "getuser", lambda: login)
    if variable:
        monkeypatch.setenv("SUDO_USER", variable)
    with nobody.app_context():
        assert cli.operator() == actors.Actor(actors.ActorKind.OPERATOR, name=name)


# Provisioning ---------------------------------------------------------------------------------------------------------

ASH = ("create", "--name", "Ash Lane", "--slug", "ash-lane", "--admin-email", "amy@ash.example")


def made(administrator: Administrator) -> list[tuple[Any, ...]]:
    """(clinics, addresses, keys, staff members, letters) that are not the demo's two."""
    return administrator.execute(
        "SELECT count(DISTINCT c.id), count(DISTINCT a.slug), count(DISTINCT k.clinic_id), count(DISTINCT s.id), "
        "count(DISTINCT l.id) FROM clinics c LEFT JOIN clinic_addresses a ON a.clinic_id = c.id "
        "LEFT JOIN clinic_keys k ON k.clinic_id = c.id LEFT JOIN staff_members s ON s.clinic_id = c.id "
        "LEFT JOIN letters l ON l.clinic_id = c.id WHERE c.name NOT IN ('Elm Street Therapy', 'Oak Hill Pediatrics')"
    ).fetchall()


def test_provisioning_twice_makes_one_clinic_and_says_so(committed_app: Flask, administrator: Administrator) -> None:
    invoke(committed_app, *ASH)
    before = whole_database.fingerprints(administrator)
    assert "exists already" in invoke(committed_app, *ASH)
    assert made(administrator) == [(1, 1, 1, 1, 1)]
    other = [*ASH[:-1], "else@ash.example"]
    assert "not available" in invoke(committed_app, *other, fails=True)
    assert whole_database.fingerprints(administrator) == before


@pytest.mark.parametrize("step", ["portal_settings.stock", "audit.record", "staff.invite"])
def test_provisioning_that_dies_half_way_leaves_nothing_and_can_be_repeated(
    committed_app: Flask, administrator: Administrator, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The connection is cut from outside, as by a kill or a power cut, after the step's own work."""
    module, verb = step.split(".")
    kept = getattr(getattr(cli, module), verb)

    def dies(*arguments: Any, **options: Any) -> None:
        kept(*arguments, **options)
        pid = db.session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        administrator.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        db.session.execute(text("SELECT 1"))

    with monkeypatch.context() as patched:
        patched.setattr(getattr(cli, module), verb, dies)
        run = committed_app.test_cli_runner().invoke(args=["clinics", *ASH])
        assert run.exit_code == 1
    assert made(administrator) == [(0, 0, 0, 0, 0)]
    invoke(committed_app, *ASH)
    assert made(administrator) == [(1, 1, 1, 1, 1)]


def test_planted_provisioning_in_two_transactions(
    committed_app: Flask, administrator: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = cli.portal_settings.stock

    def commits_early() -> None:
        kept()
        db.session.connection().exec_driver_sql("COMMIT")

    monkeypatch.setattr(cli.portal_settings, "stock", commits_early)
    with pytest.raises(AssertionError):
        test_provisioning_that_dies_half_way_leaves_nothing_and_can_be_repeated(
            committed_app, administrator, monkeypatch, "staff.invite"
        )


def create_at_once(app: Flask, *names_and_admins: tuple[str, str]) -> list[object]:
    def run(name: str, admin_email: str) -> Callable[[], object]:
        def work() -> object:
            with app.app_context():
                try:
                    create = cli.create.callback
                    assert create
                    with click.Context(cli.create):
                        return create(name=name, admin_email=admin_email, slug="ash-lane", plan="core", time_zone="America/New_York")
                except click.ClickException as refused:
                    return refused.message

        return work

    return at_once(*(run(*each) for each in names_and_admins))


def test_one_address_asked_for_by_four_at_once_is_one_clinics(committed_app: Flask, administrator: Administrator) -> None:
    ended = create_at_once(committed_app, *((f"Ash {each}", f"amy@ash{each}.example") for each in range(4)))
    assert sorted(str(each) for each in ended) == [*["None"], *["This address is not available. Please choose another."] * 3]
    assert made(administrator) == [(1, 1, 1, 1, 1)]


def test_the_same_command_in_four_terminals_makes_one_clinic_and_no_error(
    committed_app: Flask, administrator: Administrator
) -> None:
    assert create_at_once(committed_app, *[("Ash Lane", "amy@ash.example")] * 4) == [None] * 4
    assert made(administrator) == [(1, 1, 1, 1, 1)]


def test_the_operators_role_sees_no_other_clinic_while_it_makes_one(app: Flask) -> None:
    with inside(app, demo.ELM, Role.OPERATOR):
        assert staff.find_by_email("ola@oak.example") is None
        with pytest.raises(Exception, match="row-level security"):
            db.session.add(ClinicAddress(slug="stolen", clinic_id=uuid4(), taken_at=db.func.now()))
            db.session.flush()


def test_the_jobs_of_letters_are_the_ones_tested_here() -> None:
    """A renamed job would leave the tests above without anything to refuse."""
    assert {outbox.DELIVER, CARRY_OUT, reset_requests.MAIL} <= jobs.queue.tasks.keys()
    assert mail_worker.deliver
