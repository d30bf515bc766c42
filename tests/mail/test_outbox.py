"""Lost if it fails: a family waits for a letter that never goes out, or gets one about something that never happened."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import text

from clinic import demo
from mail import letters, outbox
from mail.outbox import BATCH, GIVEN_UP_AFTER, LEASE, LetterState, OutgoingLetter
from tenancy import clinics, clock
from tenancy.database import db, transaction
from tenancy.jobs import QUEUE_ROLE
from tenancy.tenant import Role
from tests.conftest import clinic_at
from tests.inside import inside
from tests.inside import letters as rows_of

A_LETTER = letters.AccessAdded(to=letters.Addressee("maria@family.example"))


def post(app: Flask, number: int = 1) -> None:
    with inside(app, demo.OAK):
        for _each in range(number):
            outbox.post(A_LETTER)


def claim(app: Flask) -> list[OutgoingLetter]:
    with inside(app, demo.OAK, Role.MAILER):
        return outbox.claim()


def the_letter(app: Flask) -> OutgoingLetter:
    return rows_of(app, demo.OAK)[-1]


def jobs_waiting(app: Flask) -> int:
    with app.app_context(), transaction():
        db.session.execute(text(f"SET LOCAL ROLE {QUEUE_ROLE}"))
        return int(db.session.scalar(text("SELECT count(*) FROM q.procrastinate_jobs WHERE task_name = 'mail.deliver'")) or 0)


@pytest.fixture
def empty(app: Flask) -> Flask:
    """Oak Hill with nothing waiting."""
    for row in claim(app):
        with inside(app, demo.OAK, Role.MAILER):
            outbox.mark_sent(row.id)
    return app


def test_work_that_is_rolled_back_sends_nothing(empty: Flask) -> None:
    """No letter about an invitation that was never made: the letter and its job belong to the same transaction."""
    rows, jobs = len(rows_of(empty, demo.OAK)), jobs_waiting(empty)
    with pytest.raises(ZeroDivisionError), inside(empty, demo.OAK):
        outbox.post(A_LETTER)
        raise ZeroDivisionError
    assert (len(rows_of(empty, demo.OAK)), jobs_waiting(empty)) == (rows, jobs)
    post(empty)
    assert (len(rows_of(empty, demo.OAK)), jobs_waiting(empty)) == (rows + 1, jobs + 1)


def test_a_letter_waits_until_it_is_claimed_and_then_only_for_one(empty: Flask) -> None:
    post(empty)
    claimed = claim(empty)
    assert [row.letter for row in claimed] == [A_LETTER]
    assert claimed[0].tries == 1
    assert claim(empty) == []


def test_a_worker_that_dies_leaves_nothing_stuck(empty: Flask) -> None:
    post(empty)
    (first,) = claim(empty)
    with clock.moved(LEASE + timedelta(seconds=1)):
        (again,) = claim(empty)
    assert again.id == first.id  # hence the same Message-ID
    assert again.tries == 2


def test_a_batch_is_bounded_and_oldest_first(empty: Flask) -> None:
    with clock.moved(timedelta(minutes=-5)):
        post(empty)
    post(empty, BATCH + 4)
    claimed = claim(empty)
    assert len(claimed) == BATCH
    assert min(row.posted_at for row in claimed) < clock.now() - timedelta(minutes=4)
    assert len(claim(empty)) == 5
    with inside(empty, demo.OAK, Role.MAILER):
        assert outbox.waiting() == BATCH + 5


def test_two_workers_never_hold_the_same_letter(committed_app: Flask) -> None:
    """A family does not get everything twice because two workers run."""
    post(committed_app, 30)
    with committed_app.app_context():
        clinic = clinic_at(demo.OAK)
        with clinics.open_clinic(clinic, Role.MAILER), transaction():
            first = {row.id for row in outbox.claim()}
            with committed_app.app_context(), clinics.open_clinic(clinic.id, Role.MAILER), transaction():
                second = {row.id for row in outbox.claim()}
    assert len(first) >= 30
    assert second == set()  # held by the first, and skipped instead of waited for


def test_back_off_doubles_up_to_an_hour_and_gives_up_after_days(empty: Flask) -> None:
    """Lost if it fails: a relay that is down for a night costs every invited family its letter."""
    post(empty)
    waits, moved, tries = [], timedelta(0), 0
    while moved < GIVEN_UP_AFTER + timedelta(hours=2) and the_letter(empty).state == LetterState.WAITING:
        tries += 1
        with clock.moved(moved):
            (row,) = claim(empty)
            assert row.tries == tries
            with inside(empty, demo.OAK, Role.MAILER):
                outbox.put_off(row, "451")
            letter = the_letter(empty)
            if letter.state == LetterState.WAITING:
                waits.append(round((letter.next_try_at - clock.now()).total_seconds() / 60))
                assert claim(empty) == []  # not before its time
        moved += timedelta(minutes=waits[-1], seconds=1)
    assert waits[:9] == [1, 2, 4, 8, 16, 32, 60, 60, 60] and len(waits) > 70
    ended = the_letter(empty)
    assert (ended.state, ended.fault) == (LetterState.UNDELIVERED, "451")
    with clock.moved(moved + timedelta(days=30)):
        assert claim(empty) == []


def test_an_ended_letter_stays_ended(empty: Flask) -> None:
    """A slow second worker cannot turn "undelivered" into "sent", nor send again what went out."""
    post(empty)
    (row,) = claim(empty)
    with inside(empty, demo.OAK, Role.MAILER):
        outbox.mark_undelivered(row.id, "550")
        outbox.mark_sent(row.id)
        outbox.put_off(row, "451")
    assert the_letter(empty).state == LetterState.UNDELIVERED
    assert the_letter(empty).fault == "550"


def test_the_mailer_reads_letters_and_no_records(app: Flask) -> None:
    with inside(app, demo.OAK, Role.MAILER):
        assert isinstance(outbox.waiting(), int)
    for table in ("patients", "contacts", "documents", "portal_users", "mailed_links", "passwords"):
        with pytest.raises(Exception, match="permission denied"), inside(app, demo.OAK, Role.MAILER):
            db.session.execute(text(f"SELECT * FROM {table}"))


def test_a_letter_of_one_clinic_is_never_claimed_by_the_other(empty: Flask) -> None:
    post(empty)
    with inside(empty, demo.ELM, Role.MAILER):
        claimed = {row.id for row in outbox.claim()}
    assert claimed and the_letter(empty).id not in claimed
