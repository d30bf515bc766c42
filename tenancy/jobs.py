"""Background work: a job is enqueued in the transaction whose state it follows, names its clinic and opens it.

The queue is procrastinate's, in its own schema, run by `flask worker` under the role `portico_queue`, which can
touch nothing but the queue; a job's own work runs under the role it names.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import procrastinate
from flask import Flask
from procrastinate.exceptions import JobAborted, UniqueViolation
from procrastinate.job_context import JobContext
from procrastinate.jobs import Status
from psycopg import errors

from tenancy import clinics, keys, tenant
from tenancy.clinics import ClinicEntry
from tenancy.database import QUEUE_SCHEMA, db, transaction
from tenancy.errors import NotFound
from tenancy.settings import Settings
from tenancy.tenant import Role

QUEUE_ROLE = "portico_queue"
log = logging.getLogger(__name__)
# How a failed job is tried again: after 4, 16, 64 … seconds, for about a day.
PATIENT = procrastinate.RetryStrategy(max_attempts=8, exponential_wait=4)

# Holds the declared jobs; the worker gives it a connection.
queue = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())
# Never opened: enqueuing happens on the running transaction's own connection, also inside a job.
_enqueuing = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())


class _Connector(procrastinate.PsycopgConnector):
    """Says that a lock is taken where procrastinate insists on hearing which: row security leaves that out of PostgreSQL's
    message. A periodic job that still waited would end the worker otherwise.
    """

    async def execute_query_async(self, query: str, **arguments: Any) -> None:
        with _lock_may_be_taken():
            await super().execute_query_async(query, **arguments)

    async def execute_query_one_async(self, query: str, **arguments: Any) -> dict[str, Any]:
        with _lock_may_be_taken():
            row: dict[str, Any] = await super().execute_query_one_async(query, **arguments)
        return row


@contextmanager
def _lock_may_be_taken() -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        taken = error.__context__
        if not isinstance(taken, errors.UniqueViolation):
            raise
        raise UniqueViolation(constraint_name=taken.diag.constraint_name, queueing_lock=None) from taken


class JobRefused(JobAborted):
    """The job's row is wrong, not the moment: it is kept as aborted and never tried again."""


def enqueue(task: str, **arguments: Any) -> None:
    """Enqueue for the open clinic, in the running transaction: no commit, no job."""
    connection = db.session.connection().connection.driver_connection
    _enqueuing.configure_task(task, connection=connection).defer(clinic_id=str(tenant.current_clinic_id()), **arguments)


def enqueue_outside_clinics(task: str, **arguments: Any) -> None:
    """Enqueue what belongs to no clinic, at once, under the queue's own role."""
    with clinics.nobody_asking(), transaction() as session:
        connection = session.connection()
        connection.exec_driver_sql(f"SET LOCAL ROLE {QUEUE_ROLE}")
        _enqueuing.configure_task(task, connection=connection.connection.driver_connection).defer(**arguments)


def in_clinic(name: str, role: Role, **options: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare a job that runs inside the clinic it names. The function opens its own transactions.

    A row that names no clinic, or a thing that is not its clinic's (NotFound, Unreadable), is refused for good.
    """

    def declare(work: Callable[..., None]) -> Callable[..., None]:
        @queue.task(name=name, pass_context=True, **options)
        def run(context: JobContext, /, clinic_id: str = "", **arguments: Any) -> None:
            flask: Flask = context.additional_context["flask"]
            with flask.app_context():
                try:
                    with clinics.open_clinic(_clinic_named(clinic_id), role):
                        work(**arguments)
                except (NotFound, keys.Unreadable) as error:
                    log.error("job.refused %s of clinic %r: %s", name, clinic_id, error)
                    raise JobRefused(name) from error

        return work

    return declare


def outside_clinics(name: str, **options: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare a job that belongs to no clinic (a front-door request)."""

    def declare(work: Callable[..., None]) -> Callable[..., None]:
        @queue.task(name=name, pass_context=True, **options)
        def run(context: JobContext, /, **arguments: Any) -> None:
            flask: Flask = context.additional_context["flask"]
            with flask.app_context():
                work(**arguments)

        return work

    return declare


def periodically(name: str, cron: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Declare a periodic job that belongs to no clinic."""

    def declare(work: Callable[[], None]) -> Callable[[], None]:
        @queue.periodic(cron=cron)
        @queue.task(name=name, pass_context=True, queueing_lock=name)
        def run(context: JobContext, /, timestamp: int) -> None:
            flask: Flask = context.additional_context["flask"]
            with flask.app_context():
                work()

        return work

    return declare


def every_clinic(
    name: str, cron: str, role: Role, *, suspended: bool = False
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Declare a periodic job that walks the directory. One clinic's failure does not stop the others."""

    def declare(work: Callable[[], None]) -> Callable[[], None]:
        periodically(name, cron)(lambda: walk_clinics(work, role, suspended=suspended))
        return work

    return declare


@queue.periodic(cron="*/5 * * * *")
@queue.task(name="tenancy.retry_stalled", queueing_lock="tenancy.retry_stalled", pass_context=True)
async def retry_stalled(context: JobContext, /, timestamp: int) -> None:
    """Jobs of a worker that was killed are taken up by the others; a periodic one only if the next does not wait already."""
    manager = context.app.job_manager
    for job in await manager.get_stalled_jobs():
        try:
            await manager.retry_job(job)
        except UniqueViolation:
            await manager.finish_job(job, Status.ABORTED, delete_job=True)


def _clinic_named(clinic_id: str) -> ClinicEntry:
    """Raises NotFound for anything but the id of a clinic in the directory."""
    try:
        known = UUID(clinic_id)
    except (ValueError, TypeError, AttributeError) as error:
        raise NotFound("clinic of the job") from error
    with transaction():
        return clinics.get(known)


def walk_clinics(work: Callable[[], None], role: Role, *, suspended: bool = False) -> None:
    """Run `work` inside every active clinic, and perhaps every suspended one, each on its own."""
    with transaction():
        listed = clinics.in_directory()
    for clinic in listed:
        if not (clinic.is_active or suspended):
            continue
        try:
            with clinics.open_clinic(clinic, role):
                work()
        except Exception:
            log.exception("A periodic job failed in clinic %s", clinic.id)
        finally:
            db.session.remove()  # what was read of one clinic is not at hand in the next


@contextmanager
def worker(settings: Settings) -> Iterator[procrastinate.App]:
    """The queue with connections of its own, for the worker process. They LISTEN, so they take no transaction pool."""
    conninfo = settings.database_url.replace("postgresql+psycopg://", "postgresql://")
    options = f"-c role={QUEUE_ROLE} -c search_path={QUEUE_SCHEMA}"
    connector = _Connector(conninfo=conninfo, min_size=1, max_size=3, kwargs={"options": options})
    with queue.replace_connector(connector) as opened, opened.open():
        yield opened
