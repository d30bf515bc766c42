"""The chain: each clinic's entries are numbered from 1, and each holds the hash of the one before and its own.

The database chains an entry as its transaction commits (a deferred trigger, migrations/versions/0005_the_audit_chain.py).
Why there and then:

- The clinic's chain is locked for the length of a commit, and always last: work of a clinic does not queue behind an
  entry that was written early in a long transaction, and no two orders of locks can meet. Chained on INSERT, a batch of
  ten thousand invitations would stop every other page of its clinic, and two transactions could wait for each other.
- Entries are rows of their transaction from the start: what is rolled back, to a savepoint or whole, leaves no entry
  and no gap, and bulk statements need no help of ours.
- No row is the head: the newest entry is, found by its index. A row that every entry rewrites becomes slow as soon as
  somebody reads the table for a minute.

The application's roles may add an entry, but not its number or hashes, and change none. `portico_chain`, which owns the
trigger's function and which nobody can become, may fill in what is empty.

Who owns the server can do all of that. What they cannot do is change a copy: `anchors` keep the newest number and hash
elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import text

from tenancy.database import db


@dataclass(frozen=True)
class Head:
    """The newest entry of a clinic's chain, at some moment."""

    number: int
    hash: bytes
    at: datetime


class Breach(StrEnum):
    MISSING = "missing"  # a number is left out
    UNLINKED = "unlinked"  # its hash of the one before is another
    CHANGED = "changed"  # its own hash is not of its fields
    UNCHAINED = "unchained"  # it has no number at all
    CUT = "cut"  # the chain ends before an entry that was anchored
    REWRITTEN = "rewritten"  # sound in itself, but not the entries that were anchored


@dataclass(frozen=True)
class Fault:
    """Where a chain is first broken, and how."""

    number: int
    breach: Breach


_HEAD = text(
    "SELECT number, hash, at FROM audit_entries "
    "WHERE clinic_id = app.clinic_id() AND number IS NOT NULL ORDER BY number DESC LIMIT 1"
)
_BEGUN_AT = text("SELECT at FROM audit_entries WHERE clinic_id = app.clinic_id() ORDER BY number LIMIT 1")
_BREAK = text("""
    SELECT number_before, number, CASE
        WHEN number IS DISTINCT FROM number_before + 1 THEN 'missing'
        WHEN previous_hash IS DISTINCT FROM hash_before THEN 'unlinked'
        ELSE 'changed' END AS breach
    FROM (
        SELECT e.number, e.previous_hash, e.hash, app.audit_hash(e, e.number, e.previous_hash) AS computed,
               lag(e.number, 1, 0::bigint) OVER chain AS number_before, lag(e.hash, 1, ''::bytea) OVER chain AS hash_before
        FROM audit_entries e WHERE e.clinic_id = app.clinic_id() AND e.number IS NOT NULL
        WINDOW chain AS (ORDER BY e.number)) links
    WHERE number IS DISTINCT FROM number_before + 1 OR previous_hash IS DISTINCT FROM hash_before
       OR hash IS DISTINCT FROM computed
    ORDER BY number LIMIT 1
""")
_UNCHAINED = text("SELECT EXISTS (SELECT FROM audit_entries WHERE clinic_id = app.clinic_id() AND number IS NULL)")
_ANCHORED = text("""
    SELECT anchored.number, e.number IS NULL AS is_missing, e.hash IS NOT DISTINCT FROM anchored.hash AS is_same
    FROM unnest(CAST(:numbers AS bigint[]), CAST(:hashes AS bytea[])) AS anchored(number, hash)
    LEFT JOIN audit_entries e ON e.clinic_id = app.clinic_id() AND e.number = anchored.number
    ORDER BY anchored.number
""")


def head() -> Head | None:
    """The newest entry of the open clinic; None where nothing ever happened."""
    row = db.session.execute(_HEAD).one_or_none()
    return Head(*row) if row else None


def begun_at() -> datetime | None:
    """When the open clinic's log begins."""
    begun: datetime | None = db.session.scalars(_BEGUN_AT).one_or_none()
    return begun


def verify(anchors: Sequence[Head] = ()) -> Fault | None:
    """The first fault of the open clinic's chain, by itself and against what was anchored; None for a sound one."""
    inside = min(filter(None, (_first_break(), _first_unchained())), key=lambda fault: fault.number, default=None)
    against, seen_at = _first_unlike(anchors)
    return inside if inside and (against is None or inside.number <= seen_at) else against


def _first_break() -> Fault | None:
    row = db.session.execute(_BREAK).one_or_none()
    if row is None:
        return None
    breach = Breach(row.breach)
    return Fault(row.number_before + 1 if breach is Breach.MISSING else row.number, breach)


def _first_unchained() -> Fault | None:
    """Its place would be the next one."""
    if not db.session.scalars(_UNCHAINED).one():
        return None
    newest = head()
    return Fault(newest.number + 1 if newest else 1, Breach.UNCHAINED)


def _first_unlike(anchors: Sequence[Head]) -> tuple[Fault | None, int]:
    """The fault, and the number that gave it away. Between two anchors nobody can say which entry was rewritten first:
    the one after the last good anchor is named."""
    asked = {"numbers": [each.number for each in anchors], "hashes": [each.hash for each in anchors]}
    good = 0
    for row in db.session.execute(_ANCHORED, asked):
        if row.is_missing:
            newest = head()
            cut = min(row.number, newest.number + 1 if newest else 1)
            return Fault(cut, Breach.CUT), cut
        if not row.is_same:
            return Fault(good + 1, Breach.REWRITTEN), row.number
        good = row.number
    return None, good
