"""How fast Stripe's events are taken in and settled: `.venv/bin/python -m benchmarks.webhooks [--events 1000]`.

Prints how many calls of the webhook are answered a second (signature checked, the event and its job in one transaction)
beside a bare insert of the same rows in transactions of their own, taken in turns in one run; and how many events are
then settled a second, each with its look at Stripe, for which the stand-in of the tests answers.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
from flask import Flask
from sqlalchemy import func, select

from clinic import demo, payment_processing, stripe_events
from clinic.stripe_events import StripeEvent
from tenancy import clinics, embedded_postgres
from tenancy.clinics import ClinicEntry
from tenancy.database import db, transaction, who_is_asking
from tenancy.tenant import Role, Tenant
from tests.conftest import BASE, PORT, Cluster, clinic_at, with_the_cast
from tests.stripe_fake.client import StripeFake
from tests.stripe_fake.fixture import running
from wsgi import create_app

PARTS = 4  # so many times in turns
BARE = """
BEGIN; {who};
INSERT INTO stripe_events (clinic_id, id, event_id, account_id, type, object_id, created_at, received_at, next_try_at, tries)
VALUES (app.clinic_id(), gen_random_uuid(), '{event}', 'acct_1Bare', 'account.updated', 'acct_1Bare', now(), now(), now(), 0);
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args)
VALUES ('default', 'clinic.apply_stripe_event', 0, jsonb_build_object('clinic_id', app.clinic_id()::text, 'event_id', '{event}'));
COMMIT
"""


def run(events: int) -> dict[str, float]:
    """name → value. A server, a database and a stand-in for Stripe of its own, that go with it."""
    server = embedded_postgres.Server(Path(tempfile.mkdtemp(prefix="portico-webhooks-")), fast=True).start()
    try:
        cluster = with_the_cast(server.superuser_url())
        with running() as fake, _connected(cluster, fake) as (app, elm):
            return _measured(cluster, app, elm, fake, events)
    finally:
        server.discard()


def _measured(cluster: Cluster, app: Flask, elm: ClinicEntry, fake: StripeFake, events: int) -> dict[str, float]:
    account_id = fake.account()
    with app.app_context(), clinics.open_clinic(elm), transaction():
        payment_processing.opened(account_id)
    ids = [f"evt_{uuid4().hex}" for _ in range(events)]
    received = bare = 0.0
    for part in range(PARTS):
        mine = ids[part::PARTS]
        received += _received(app, fake, account_id, mine)
        bare += _bare(cluster, elm, len(mine))
    settled = _settled(app, elm, ids)
    return {
        "calls answered a second": events / received,
        "bare rows a second": events / bare,
        "answering ÷ bare": received / bare,
        "events settled a second": events / settled,
        "answering and settling ÷ bare": (received + settled) / bare,
    }


def _received(app: Flask, fake: StripeFake, account_id: str, ids: list[str]) -> float:
    """Seconds, the events written and signed before."""
    template = fake.events(account_id)[-1]
    bodies = [json.dumps(template | {"id": each}, indent=2).encode() for each in ids]
    calls = [(body, {"Stripe-Signature": fake.sign(body)}) for body in bodies]
    client, base_url = app.test_client(), f"http://{BASE}:{PORT}"
    begun = time.perf_counter()
    for body, headers in calls:
        status = client.post("/webhooks/stripe", base_url=base_url, data=body, headers=headers).status_code
        if status != 200:
            raise RuntimeError(f"The webhook answered {status}.")
    return time.perf_counter() - begun


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


def _settled(app: Flask, elm: ClinicEntry, ids: list[str]) -> float:
    with app.app_context(), clinics.open_clinic(elm):
        begun = time.perf_counter()
        for each in ids:
            stripe_events.look_into(each)
        took = time.perf_counter() - begun
        with transaction():
            settled = select(func.count()).select_from(StripeEvent).where(StripeEvent.applied_at.is_not(None))
            if db.session.scalars(settled).one() != len(ids):
                raise RuntimeError("Not every event was settled.")
    return took


@contextmanager
def _connected(cluster: Cluster, fake: StripeFake) -> Iterator[tuple[Flask, ClinicEntry]]:
    stripe = {"stripe_api_key": fake.key, "stripe_api_base": fake.url, "stripe_webhook_secret": fake.secret}
    app = create_app(replace(cluster.settings, **stripe))
    with app.app_context():
        elm = clinic_at(demo.ELM)
    yield app, elm
    with app.app_context():
        db.engine.dispose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000)
    asked = parser.parse_args()
    for name, value in run(asked.events).items():
        print(f"{name:<34} {value:10.2f}")
