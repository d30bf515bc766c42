"""How fast Stripe's events are taken in and settled: `.venv/bin/python -m benchmarks.webhooks [--events 1000]`.

Prints how many calls of the webhook are answered a second (signature checked, the event and its job in one transaction)
beside a bare insert of the same rows in transactions of their own, taken in turns in one run; within how many milliseconds
99 of 100 calls are answered, one after another and eight at once; and how many events are then settled a second, each with
its looks at Stripe, for which the stand-in of the tests answers, and at the books.
"""

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from statistics import quantiles
from uuid import uuid4

import psycopg
from sqlalchemy import select

from clinic import stripe_events
from clinic.stripe_events import StripeEvent
from tenancy import embedded_postgres
from tenancy.clinics import ClinicEntry
from tenancy.database import db, who_is_asking
from tenancy.tenant import Role, Tenant
from tests.conftest import BASE, PORT, Cluster, with_the_cast
from tests.paying import Desk, at_elm
from tests.stripe_fake.fixture import running
from wsgi import create_app

PARTS = 4  # so many times in turns
AT_ONCE = 8
BARE = """
BEGIN; {who};
INSERT INTO stripe_events (clinic_id, id, event_id, account_id, type, object_id, created_at, received_at, next_try_at, tries)
VALUES (app.clinic_id(), gen_random_uuid(), '{event}', 'acct_1Bare', 'payment_intent.succeeded', 'pi_3Bare', now(), now(), now(), 0);
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args)
VALUES ('default', 'clinic.apply_stripe_event', 0, jsonb_build_object('clinic_id', app.clinic_id()::text, 'event_id', '{event}'));
COMMIT
"""


def run(events: int) -> dict[str, float]:
    """name → value. A server, a database and a stand-in for Stripe of its own, that go with it."""
    server = embedded_postgres.Server(Path(tempfile.mkdtemp(prefix="portico-webhooks-")), fast=True).start()
    try:
        cluster = with_the_cast(server.superuser_url())
        app = create_app(cluster.settings)
        with running() as fake, at_elm(app, fake) as desk:
            try:
                return _measured(cluster, desk, events)
            finally:
                with app.app_context():
                    db.engine.dispose()
    finally:
        server.discard()


def _measured(cluster: Cluster, desk: Desk, events: int) -> dict[str, float]:
    history = _history(desk, events + events // PARTS)
    calls = [desk.fake.webhook(each) for each in history[:events]]
    times, bare = list[float](), 0.0
    for part in range(PARTS):
        mine = calls[part::PARTS]
        times += _received(desk, mine)
        bare += _bare(cluster, desk.clinic, len(mine))
    received = sum(times)
    settled = _settled(desk)
    others = [desk.fake.webhook(each) for each in history[events:]]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        at_once = list(chain(*threads.map(lambda part: _received(desk, others[part::AT_ONCE]), range(AT_ONCE))))
    return {
        "calls answered a second": events / received,
        "bare rows a second": events / bare,
        "answering ÷ bare": received / bare,
        "99 of 100 answered within ms": _of_100(times) * 1000,
        "99 of 100, eight at once, ms": _of_100(at_once) * 1000,
        "events settled a second": events / settled,
        "answering and settling ÷ bare": (received + settled) / bare,
    }


def _history(desk: Desk, events: int) -> list[str]:
    """Ids of so many events about payments by card, five of each, in the order in which they happened."""
    while len(found := [each["id"] for each in desk.fake.events(desk.account_id) if each["type"] != "account.updated"]) < events:
        for _ in range((events - len(found)) // 5 + 1):
            desk.pay(desk.invoice(12000))
    return found[:events]


def _received(desk: Desk, calls: list[tuple[bytes, dict[str, str]]]) -> list[float]:
    """Seconds, of each."""
    client, base_url = desk.app.test_client(), f"http://{BASE}:{PORT}"
    times = []
    for body, headers in calls:
        begun = time.perf_counter()
        status = client.post("/webhooks/stripe", base_url=base_url, data=body, headers=headers).status_code
        times.append(time.perf_counter() - begun)
        if status != 200:
            raise RuntimeError(f"The webhook answered {status}.")
    return times


def _of_100(times: list[float]) -> float:
    """What 99 of 100 did not exceed."""
    return quantiles(times, n=100, method="inclusive")[98]


def _bare(cluster: Cluster, elm: ClinicEntry, events: int) -> float:
    """Seconds, as the application's login role at the door."""
    who = who_is_asking(Tenant(elm.id, Role.DOOR))
    statements = [BARE.format(who=who, event=f"evt_{uuid4().hex}").encode() for _ in range(events)]
    url = cluster.settings.database_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url, autocommit=True) as connection:
        begun = time.perf_counter()
        for statement in statements:
            connection.execute(statement)
        return time.perf_counter() - begun


def _settled(desk: Desk) -> float:
    """Seconds for all that were kept, one after another as one worker's jobs are."""
    waits = select(StripeEvent.event_id).where(StripeEvent.applied_at.is_(None), StripeEvent.account_id == desk.account_id)
    with desk.clinic_transaction():
        ids = db.session.scalars(waits.order_by(StripeEvent.received_at)).all()
    with desk.open_clinic():
        begun = time.perf_counter()
        for each in ids:
            stripe_events.look_into(each)
        took = time.perf_counter() - begun
    with desk.clinic_transaction():
        if db.session.scalars(waits).first():
            raise RuntimeError("Not every event was settled.")
    return took


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000)
    asked = parser.parse_args()
    for name, value in run(asked.events).items():
        print(f"{name:<34} {value:10.2f}")
