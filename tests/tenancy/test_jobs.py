"""The worker itself. Lost if it fails: nothing is sent or carried out any more, or the job of a killed worker is forgotten."""

import asyncio
import json
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import procrastinate
import psycopg
import pytest
from flask import Flask, current_app
from procrastinate.periodic import PeriodicDeferrer
from sqlalchemy import select

from clinic import demo
from mail import outbox
from tenancy import cli, clinics, clock, jobs, tenant
from tenancy.clinics import Clinic
from tenancy.database import db, transaction
from tenancy.jobs import QUEUE_ROLE
from tenancy.tenant import NoClinicOpen, Role
from tests.conftest import Cluster
from tests.inside import inside

Administrator = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def queue(cluster: Cluster, committed_app: Flask) -> Iterator[Administrator]:
    """The server's superuser at an empty queue of the committed application's."""
    url = cluster.url_of(committed_app.config["PORTICO"])
    with psycopg.connect(url, autocommit=True, options="-c search_path=public,q") as connection:
        connection.execute("DELETE FROM q.procrastinate_jobs")
        yield connection


@pytest.fixture
def declared() -> Iterator[dict[str, Any]]:
    """Jobs declared in a test are forgotten after it."""
    kept, periodic = dict(jobs.queue.tasks), dict(jobs.queue.periodic_registry.periodic_tasks)
    yield jobs.queue.tasks
    jobs.queue.tasks.clear()
    jobs.queue.tasks.update(kept)
    jobs.queue.periodic_registry.periodic_tasks.clear()
    jobs.queue.periodic_registry.periodic_tasks.update(periodic)


def waiting(queue: Administrator) -> dict[str, str]:
    """task → status"""
    return dict(queue.execute("SELECT task_name, status::text FROM q.procrastinate_jobs").fetchall())


def drain(app: Flask, *options: str) -> None:
    with app.app_context():
        run = app.test_cli_runner().invoke(args=["worker", "--drain", *options], catch_exceptions=False)
    assert run.exit_code == 0, run.output


def test_the_worker_sends_what_waits_and_leaves_when_nothing_is_left(committed_app: Flask, queue: Administrator) -> None:
    with inside(committed_app, demo.ELM) as elm:
        jobs.enqueue(outbox.DELIVER)
    assert waiting(queue) == {outbox.DELIVER: "todo"}
    drain(committed_app)
    with inside(committed_app, demo.ELM):
        assert outbox.DELIVER not in waiting(queue), "what is done is not kept: its row names whom it was about"
    assert elm.is_active


def test_a_job_runs_in_the_running_application_and_in_no_clinic_but_its_own(
    committed_app: Flask, queue: Administrator, declared: dict[str, Any]
) -> None:
    seen: list[object] = []

    @jobs.outside_clinics("test.outside")
    def outside(word: str) -> None:
        with pytest.raises(NoClinicOpen):
            tenant.current()
        seen.append((word, current_app.config["PORTICO"].database_url))

    @jobs.in_clinic("test.inside", Role.MAILER)
    def within(word: str) -> None:
        # Whoever is told to stop finishes what it has begun.
        seen.append((word, tenant.current(), signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL))

    assert (outside.__name__, within.__name__) == ("outside", "within")  # declared, and still what they were
    with committed_app.app_context():
        jobs.enqueue_outside_clinics("test.outside", word="front door")
    with inside(committed_app, demo.ELM) as elm:
        jobs.enqueue("test.inside", word="elm")
    drain(committed_app, "--concurrency", "1")
    assert set(seen) == {
        ("front door", committed_app.config["PORTICO"].database_url),
        ("elm", tenant.Tenant(elm.id, Role.MAILER), True),
    }


def test_a_job_of_no_clinic_is_refused_for_good_and_somebody_is_told(
    committed_app: Flask, queue: Administrator, caplog: pytest.LogCaptureFixture
) -> None:
    queue.execute(
        "INSERT INTO q.procrastinate_jobs (queue_name, task_name, args, status, priority) VALUES ('default', %s, %s, 'todo', 0)",
        (outbox.DELIVER, json.dumps({"clinic_id": "nowhere"})),
    )
    drain(committed_app)
    assert waiting(queue)[outbox.DELIVER] == "aborted"
    assert "job.refused mail.deliver of clinic 'nowhere': clinic of the job" in [each.getMessage() for each in caplog.records]


def test_what_was_not_committed_is_not_done(committed_app: Flask, queue: Administrator) -> None:
    """A letter about what never happened."""
    with pytest.raises(RuntimeError), inside(committed_app, demo.ELM):
        jobs.enqueue(outbox.DELIVER)
        raise RuntimeError
    assert waiting(queue) == {}


def test_periodic_work_walks_the_clinics_that_are_active(
    committed_app: Flask, queue: Administrator, declared: dict[str, Any]
) -> None:
    """And those that are suspended where it must not stop (the audit log's anchors)."""
    walked: dict[str, list[object]] = {"active": [], "all": [], "none": []}
    asked = lambda: tenant.current()  # noqa: E731  read where the job runs
    jobs.every_clinic("test.active", "0 0 29 2 *", Role.AUDITOR)(lambda: walked["active"].append(asked()))
    jobs.every_clinic("test.all", "0 0 29 2 *", Role.STAFF, suspended=True)(lambda: walked["all"].append(asked()))
    jobs.periodically("test.none", "0 0 29 2 *")(lambda: walked["none"].append(tenant.find_current()))
    with inside(committed_app, demo.ELM) as elm:
        pass
    with inside(committed_app, demo.OAK) as oak:
        pass
    assert committed_app.test_cli_runner().invoke(args=["clinics", "suspend", demo.OAK]).exit_code == 0
    for name in ("active", "all", "none"):
        queue.execute(
            "INSERT INTO q.procrastinate_jobs (queue_name, task_name, args, status, priority) VALUES ('default', %s, %s, 'todo', 0)",
            (f"test.{name}", json.dumps({"timestamp": 0})),
        )
    drain(committed_app, "--concurrency", "1")
    assert walked == {
        "active": [tenant.Tenant(elm.id, Role.AUDITOR)],
        "all": [tenant.Tenant(elm.id, Role.STAFF), tenant.Tenant(oak.id, Role.STAFF)],
        "none": [None],
    }


def test_one_clinics_failure_is_told_and_leaves_nothing_to_the_next(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """Else Oak Hill's letters would wait for Elm Street's database rows, or be written with them."""
    walked: list[str] = []
    held: list[object] = []  # as a careless job would

    def work() -> None:
        with transaction():
            assert not list(db.session.identity_map.keys())
            held.append(db.session.scalars(select(Clinic)).one())
            walked.append(clinics.current().slug)
        raise RuntimeError(walked[-1])

    with app.app_context():
        jobs.walk_clinics(work, Role.STAFF)
        with transaction():
            told = [f"A periodic job failed in clinic {each.id}" for each in clinics.in_directory()]
    assert walked == [demo.ELM, demo.OAK] and [each.getMessage() for each in caplog.records] == told


def test_periodic_work_is_enqueued_once_however_many_workers_there_are(declared: dict[str, Any]) -> None:
    """Else each clinic's families would be reminded as often as there are workers."""
    def work() -> None:
        """Nothing."""

    assert jobs.every_clinic("test.hourly", "7 * * * *", Role.STAFF)(work) is work
    assert jobs.periodically("test.daily", "7 3 * * *")(work) is work
    periodic = {each.task.name: each for each in jobs.queue.periodic_registry.periodic_tasks.values()}
    assert periodic["test.hourly"].cron == "7 * * * *"
    assert {each.task.queueing_lock for each in periodic.values()} == set(periodic)


def test_the_job_of_a_worker_that_was_killed_is_done_by_another(committed_app: Flask, queue: Administrator) -> None:
    """An invitation batch that was half carried out would otherwise stay so."""
    with inside(committed_app, demo.ELM):
        jobs.enqueue(outbox.DELIVER)
    queue.execute("INSERT INTO q.procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour')")
    queue.execute(
        "UPDATE q.procrastinate_jobs SET status = 'doing', worker_id = (SELECT max(id) FROM q.procrastinate_workers)"
    )
    drain(committed_app)  # the first thing a worker does is to look for what others left
    drain(committed_app)
    assert outbox.DELIVER not in waiting(queue)


def test_a_periodic_job_of_a_killed_worker_does_not_stand_before_the_others(committed_app: Flask, queue: Administrator) -> None:
    """Lost: the next minute's waits already, so the killed one cannot wait too, and nothing behind it is ever taken up."""
    queue.execute("INSERT INTO q.procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour')")
    for status, timestamp in (("doing", 60), ("todo", 120)):
        queue.execute(
            "INSERT INTO q.procrastinate_jobs (queue_name, task_name, priority, queueing_lock, args, status, worker_id) VALUES "
            "('default', 'payments.follow_up', 0, 'payments.follow_up', %s, %s, CASE WHEN %s = 'doing' THEN "
            "(SELECT max(id) FROM q.procrastinate_workers) END)",
            (json.dumps({"timestamp": timestamp}), status, status),
        )
    with inside(committed_app, demo.ELM):
        jobs.enqueue(outbox.DELIVER)
    queue.execute(
        "UPDATE q.procrastinate_jobs SET status = 'doing', worker_id = (SELECT max(id) FROM q.procrastinate_workers) "
        "WHERE task_name = %s",
        (outbox.DELIVER,),
    )
    with jobs.worker(committed_app.config["PORTICO"]) as app:
        asyncio.run(_take_up(app))
    assert waiting(queue) == {"payments.follow_up": "todo", outbox.DELIVER: "todo"}


async def _take_up(app: procrastinate.App) -> None:
    async with app.open_async():
        await jobs.retry_stalled.func(SimpleNamespace(app=app), timestamp=60)


def test_a_job_that_fails_is_tried_again_for_about_a_day() -> None:
    """A mail server that is down over night gets its letters in the morning; what is a day late helps nobody."""
    waits = []
    while decision := jobs.PATIENT.get_retry_decision(exception=OSError(), job=failed(len(waits))):
        assert decision.retry_at
        waits.append(round((decision.retry_at - clock.now()).total_seconds()))
    assert waits == pytest.approx([4**each for each in range(1, 9)], abs=1)
    assert 20 * 3600 < sum(waits) < 28 * 3600


def failed(attempts: int) -> Any:
    return SimpleNamespace(attempts=attempts)


@pytest.mark.parametrize("drain", [False, True])
def test_the_worker_waits_for_word_of_new_jobs_unless_it_is_told_to_drain(
    app: Flask, drain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A letter asked for on a page is on its way within a second, not at the next look into the queue."""
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(procrastinate.App, "run_worker", lambda self, **options: asked.append(options))
    with app.app_context():
        run = app.test_cli_runner().invoke(args=["worker", *(["--drain"] if drain else [])])
    assert run.exit_code == 0
    assert (asked[0]["concurrency"], asked[0]["wait"], asked[0]["listen_notify"]) == (4, not drain, True)


def test_the_command_is_flask_worker() -> None:
    application = Flask("new")
    cli.install(application)
    assert application.cli.commands == {"worker": cli.worker}


def test_whatever_else_the_queue_insists_on_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a lock that is taken is nothing to worry about."""

    async def insist(self: object, query: str, **_: object) -> dict[str, Any]:
        raise AssertionError(query)

    monkeypatch.setattr(procrastinate.PsycopgConnector, "execute_query_one_async", insist)
    with pytest.raises(AssertionError, match="^SELECT$"):
        asyncio.run(jobs._Connector(conninfo="postgresql://nowhere").execute_query_one_async("SELECT"))


def test_the_worker_touches_nothing_but_the_queue(committed_app: Flask) -> None:
    """What a job does it does as its clinic; the queue's own connections read nobody's rows."""
    with jobs.worker(committed_app.config["PORTICO"]) as opened:
        connector = opened.connector.get_sync_connector()
        row = connector.execute_query_one("SELECT current_user::text AS role, current_setting('search_path') AS path")
    assert row == {"role": QUEUE_ROLE, "path": "q"}


def test_a_periodic_job_that_still_waits_does_not_stop_the_worker(committed_app: Flask, queue: Administrator) -> None:
    """Lost: a worker that is busy for longer than a minute ends when the next minute begins."""

    async def twice(app: procrastinate.App) -> None:
        async with app.open_async():
            deferrer = PeriodicDeferrer(app.periodic_registry)
            periodic = next(iter(app.periodic_registry.periodic_tasks.values()))
            for timestamp in (60, 120):
                await deferrer.defer_jobs([(periodic, timestamp)])

    with jobs.worker(committed_app.config["PORTICO"]) as app:
        asyncio.run(twice(app))
    assert queue.execute("SELECT count(*) FROM q.procrastinate_jobs").fetchone() == (1,)
