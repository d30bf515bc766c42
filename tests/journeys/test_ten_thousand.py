"""Ten thousand contacts invited with one press.

If this fails, a large clinic cannot invite its families at once: the page hangs, or the work stops half-way.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import func, select, text, update

from clinic import demo
from clinic.invitation_batches import CHUNK
from clinic.mailed_links import MailedLink
from clinic.portal_users import PortalUser
from mail.outbox import OutgoingLetter
from tenancy import clock
from tenancy.database import db
from tenancy.tenant import Role
from tests import inside
from tests.conftest import Cluster
from tests.journeys.conftest import SignIn
from tests.journeys.running import Running

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MANY = 10_000
CROWD = (
    """
    INSERT INTO patients (clinic_id, id, name, birth_on, status, search_text, created_at)
    SELECT app.clinic_id(), md5('patient' || n)::uuid, 'Patient ' || n, date '2018-01-01', 'active', 'patient ' || n, now()
    FROM generate_series(1, :many) n
    """,
    """
    INSERT INTO contacts (clinic_id, id, name, email, email_norm, do_not_invite, search_text, created_at)
    SELECT app.clinic_id(), md5('contact' || n)::uuid, 'Contact ' || n, 'contact' || n || '@family.example',
           'contact' || n || '@family.example', false, 'contact ' || n, now()
    FROM generate_series(1, :many) n
    """,
    """
    INSERT INTO relationships (clinic_id, contact_id, patient_id, kind, list_key, is_invitable, is_blocked, guardian_for_adult)
    SELECT app.clinic_id(), md5('contact' || n)::uuid, md5('patient' || n)::uuid, 'parent', '', false, false, false
    FROM generate_series(1, :many) n
    """,
)
SECONDS = 60  # for all of it; a minute of waiting is what a progress page excuses


def test_progress_is_seen_and_the_worker_finishes(
    portico: Running, cluster: Cluster, desk: Page, sign_in: SignIn
) -> None:
    with inside.inside(portico.app, demo.OAK):
        for statement in CROWD:
            db.session.execute(text(statement), {"many": MANY})
    sign_in(desk, portico.admin(demo.OAK), "ola@oak.example")
    desk.goto(portico.admin(demo.OAK, "/invitations/new?q=contact"))
    desk.get_by_label("Select all 1,000+ that match").check()
    desk.get_by_role("button", name="Invite Patient Contacts to Portal").click()
    expect(desk.get_by_role("heading", name=f"{MANY:,} patients and contacts")).to_be_visible()

    left_open = desk.context.new_page()  # a second tab, that nobody reloads
    url = cluster.url_of(portico.settings)
    early, late, until = CHUNK, 3 * CHUNK, time.monotonic() + SECONDS
    with held_after(url, late):
        with held_after(url, early):
            desk.get_by_role("button", name="Yes, Continue").click()
            expect(desk.get_by_role("heading", level=1)).to_have_text("Inviting …")
            left_open.goto(desk.url)
            seen = progress_until(desk, until, early)
        seen += progress_until(desk, until, late)
    seen += progress_until(desk, until)

    assert {early, late} <= set(seen) and seen == sorted(seen), seen
    expect(left_open.get_by_role("heading", level=1)).to_have_text("What became of the invitations", timeout=5_000)
    expect(left_open).to_have_title("What became of the invitations · Oak Hill Pediatrics")
    expect(desk.locator(".stat", has_text="Invited")).to_contain_text(f"{MANY:,}")
    everybody_is_invited_once(portico)
    the_letters_may_wait(portico)


@contextmanager
def held_after(url: str, done: int) -> Iterator[None]:
    """The worker waits for this block to end before it goes on with the row that follows."""
    newest = "(SELECT id FROM invitation_batches ORDER BY made_at DESC LIMIT 1)"
    row = f"SELECT FROM invitation_batch_rows WHERE batch_id = {newest} AND position = {done + 1} FOR UPDATE"
    with psycopg.connect(url) as connection:
        assert connection.execute(row.encode()).rowcount == 1
        yield


def progress_until(page: Page, until: float, done: int | None = None) -> list[int]:
    """What the page shows, read again and again until it shows this; or until it is finished."""
    seen = list[int]()
    while page.locator("progress").count():
        seen.append(int(page.locator("progress").get_attribute("value") or 0))
        if seen[-1] == done:
            break
        assert time.monotonic() < until, seen
        page.reload()
    return seen


def everybody_is_invited_once(portico: Running) -> None:
    with inside.inside(portico.app, demo.OAK):
        invited = select(func.count()).select_from(PortalUser).where(PortalUser.email_norm.like("contact%"))
        letters = select(func.count(OutgoingLetter.to_address.distinct())).where(
            OutgoingLetter.to_address.like("contact%")
        )
        links = select(func.count()).select_from(MailedLink).where(MailedLink.email_norm.like("contact%"))
        assert [db.session.scalar(each) for each in (invited, letters, links)] == [MANY] * 3


def the_letters_may_wait(portico: Running) -> None:
    """The worker is then free to stop at once."""
    with inside.inside(portico.app, demo.OAK, Role.MAILER):
        db.session.execute(update(OutgoingLetter).values(next_try_at=clock.now() + timedelta(days=1)))
