"""A process that is killed at its n-th moment: before or after a commit that wrote, or a request to Stripe.

It is forked, so that it knows what the test knows and starts at once, and it kills itself (`kill -9`): nothing of it is
tidied up, no transaction is rolled back but by the server, no answer is sent.
"""

import os
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from flask import Flask
from sqlalchemy import Connection, Engine, event

from clinic import stripe_gateway
from clinic.stripe_gateway import line
from tenancy.database import db

NAME = "doomed"  # of its connections
WAIT_SECONDS = 60
_OF_THE_PARENT: list[Engine] = []
Moment = Callable[[str], None]
Kill = Callable[[list[str]], bool]  # of the moments so far: whether to die at the last of them


@dataclass(frozen=True)
class Life:
    """The moments that were reached, in order; the last is the one at which it was killed, if it was."""

    moments: list[str]
    was_killed: bool


def nth(number: int) -> Kill:
    """At the n-th moment, from 1."""
    return lambda moments: len(moments) == number


def at(name: str, number: int = 1) -> Kill:
    """At the n-th moment of this name, from 1."""
    return lambda moments: moments[-1] == name and moments.count(name) == number


def live(app: Flask, administrator: psycopg.Connection[Any], work: Callable[[Moment], None], kill: Kill) -> Life:
    """Do this work in a process of its own, which dies at that moment. When it returns, the server knows of the death."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _be_born(app, work, kill, writing)
    os.close(writing)
    with os.fdopen(reading) as told:
        moments = told.read().splitlines()
    _, status = os.waitpid(child, 0)
    was_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert was_killed or os.WEXITSTATUS(status) == 0, "\n".join(moments)
    _wait_for_the_server(administrator)
    return Life(moments, was_killed)


def _be_born(app: Flask, work: Callable[[Moment], None], kill: Kill, writing: int) -> None:
    code, moments = 1, list[str]()

    def moment(name: str) -> None:
        moments.append(name)
        os.write(writing, f"{name}\n".encode())
        if kill(moments):
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        _watch_commits(own_connections(app, NAME), moment)
        _watch_stripe(moment)
        work(moment)
        code = 0
    except BaseException:  # noqa: BLE001  told to the parent, whose test fails
        os.write(writing, traceback.format_exc().encode())
    finally:
        os._exit(code)


def own_connections(app: Flask, name: str) -> Engine:
    """For a process that was forked: the parent's, to the database and to Stripe, are the parent's."""
    url = app.config["PORTICO"].database_url
    with app.app_context():
        _OF_THE_PARENT.append(db.engine)  # closed here, they would be closed there
        options = {"url": f"{url}?application_name={name}", **app.config["SQLALCHEMY_ENGINE_OPTIONS"]}
        engine = db._make_engine(None, options, app)
        db._app_engines[app][None] = engine
    stripe_gateway.install(app, app.config["PORTICO"])
    return engine


def _watch_commits(engine: Engine, moment: Moment) -> None:
    commit = engine.dialect.do_commit
    wrote = False

    def is_written(connection: Connection) -> None:
        nonlocal wrote
        asked = connection.exec_driver_sql("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")
        wrote = bool(asked.scalar())

    def do_commit(connection: Any) -> None:
        if not wrote:
            return commit(connection)
        moment("before commit")
        commit(connection)
        return moment("after commit")

    event.listen(engine, "commit", is_written)
    engine.dialect.do_commit = do_commit  # type: ignore[method-assign]


def _watch_stripe(moment: Moment) -> None:
    request = line._Wire.request

    def watched(self: Any, method: str, url: str, *rest: Any, **more: Any) -> Any:
        if method != "post":  # what is only read leaves nothing behind
            return request(self, method, url, *rest, **more)
        moment("before asking Stripe")
        answer = request(self, method, url, *rest, **more)
        moment("after asking Stripe")
        return answer

    line._Wire.request = watched  # type: ignore[method-assign]


def _wait_for_the_server(administrator: psycopg.Connection[Any]) -> None:
    """Until it has noticed that nobody is there any more, and rolled back."""
    until = time.monotonic() + WAIT_SECONDS
    while administrator.execute("SELECT 1 FROM pg_stat_activity WHERE application_name = %s", [NAME]).fetchone():
        assert time.monotonic() < until
        time.sleep(0.02)
