"""Counting a try before its secret is checked, and taking it back when it was right."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from flask_babel import lazy_gettext as _l
from flask_babel import lazy_ngettext
from sqlalchemy import select

from clinic import addresses, audit
from clinic.actors import Holder
from clinic.audit import Result
from clinic.throttle import buckets
from clinic.throttle.allowances import ALLOWANCES, Counted, Purpose
from clinic.throttle.buckets import Bucket, ClinicBucket, Filling, PlatformBucket, Table
from tenancy import clock, keys, known_devices, tenant
from tenancy.database import db, transaction
from tenancy.errors import Busy, TooManyTries
from tenancy.known_devices import Caller

log = logging.getLogger(__name__)
KEY_PURPOSE = "throttle"
BY_A_STRANGER = (Counted.ACCOUNT, Counted.NETWORK, Counted.CLINIC)
OF_THE_ACCOUNT = (Counted.ACCOUNT, Counted.DEVICE)


class Slowed(TooManyTries):
    """Which counts are used up, so that a letter's can be kept quiet about."""

    def __init__(self, purpose: Purpose, late: dict[Counted, timedelta]) -> None:
        wait = max(late.values())
        super().__init__(_sentence(wait), wait)
        self.by = frozenset(late)
        tenant_here = tenant.find_current()
        log.warning(
            "throttle.refused %s by %s at %s",
            purpose,
            ", ".join(sorted(late)),
            tenant_here.clinic_id if tenant_here else "the front door",
        )


@dataclass
class Try:
    """A try that was let in. It counts as a miss from the start, so that a hundred at once cost no more than are free."""

    here: list[Bucket]
    is_from_known_device: bool = False
    everywhere: list[Bucket] = field(default_factory=list)
    was_right: bool = False

    def hold(self) -> None:
        """In the transaction that checks the secret: tries at one account follow one another, known here or not."""
        account = next(bucket.id for bucket in self.here if bucket.counted in OF_THE_ACCOUNT)
        db.session.execute(select(ClinicBucket.id).where(ClinicBucket.id == account).with_for_update())


def at_door(email: str, *, of_staff: bool) -> str:
    """The account that an address, as typed, means at a door; whether there is one is not asked."""
    return f"{'staff' if of_staff else 'portal'}:{addresses.normalised(email)}"


def of_holder(holder: Holder) -> str:
    """The account of somebody who has shown who they are."""
    return f"holder:{holder.staff_member_id or holder.portal_user_id}"


@contextmanager
def counting(purpose: Purpose, account: str, caller: Caller | None = None) -> Iterator[Try]:
    """Count a try at an account of the open clinic; say `was_right` inside the block, and it is taken back.

    Raises TooManyTries before the block begins. Opens transactions of its own: the count stands whatever comes of the
    block. Without a caller (somebody signed in) only the account's own tries are counted.
    """
    made = _let_in(purpose, account, caller)
    is_taken_back = False
    try:
        yield made
    except Busy:  # nothing was checked
        is_taken_back = True
        raise
    finally:
        if made.was_right or is_taken_back:
            _take_back(made)


def may_mail(purpose: Purpose, account: str, caller: Caller) -> bool:
    """Count a letter asked for. Quietly false when this account has had enough of them; raises TooManyTries when it is
    the network that asks too often. Nothing tells whether anybody reads mail there."""
    try:
        _let_in(purpose, account, caller)
    except Slowed as slowed:
        if slowed.by == {Counted.ACCOUNT}:
            return False
        raise
    return True


def forgive(purpose: Purpose, account: str) -> None:
    """Forget strangers' misses at an account, in the running transaction: its holder has shown who they are otherwise."""
    _empty(ClinicBucket, [_bucket(keys.signing_key(KEY_PURPOSE), purpose, Counted.ACCOUNT, account)], OF_THE_ACCOUNT)


def _let_in(purpose: Purpose, account: str, caller: Caller | None) -> Try:
    made = _counted_here(purpose, account, caller) if tenant.find_current() else Try([])
    if caller is None or made.is_from_known_device:
        return made
    key = keys.platform_signing_key(KEY_PURPOSE)
    made.everywhere = [_bucket(key, purpose, Counted.EVERYWHERE, str(caller.network))]
    if not made.here:
        made.everywhere.append(_bucket(key, purpose, Counted.ACCOUNT, account))
    try:
        with buckets.outside():
            _fill(PlatformBucket, purpose, made.everywhere)
    except Slowed:
        made.everywhere = []
        _take_back(made)
        raise
    return made


def _counted_here(purpose: Purpose, account: str, caller: Caller | None) -> Try:
    with transaction():
        made = _try_here(purpose, account, caller)
        if waits := _fill(ClinicBucket, purpose, made.here):
            longest = int(max(waits.values()).total_seconds())
            audit.record(f"{purpose}.slowed", result=Result.REFUSED, by=sorted(waits), wait_seconds=longest)
    return made


def _try_here(purpose: Purpose, account: str, caller: Caller | None) -> Try:
    key = keys.signing_key(KEY_PURPOSE)
    if caller is None:
        return Try([_bucket(key, purpose, Counted.ACCOUNT, account)])
    of = {Counted.ACCOUNT: account, Counted.NETWORK: str(caller.network), Counted.CLINIC: ""}
    mark = known_devices.find_mark(account, caller) if Counted.DEVICE in ALLOWANCES[purpose] else None
    if mark:
        return Try([_bucket(key, purpose, Counted.DEVICE, mark)], is_from_known_device=True)
    return Try([_bucket(key, purpose, counted, of[counted]) for counted in BY_A_STRANGER])


def _fill(table: Table, purpose: Purpose, chosen: list[Bucket]) -> dict[Counted, timedelta]:
    """Count one more try in each, or in none: raises Slowed while any is closed. Returns who must wait from now on."""
    found = buckets.held(table, chosen)
    now = clock.now()  # read once the buckets are held: whoever had them meanwhile did so before
    late = {bucket.counted: found[bucket.id].free_at - now for bucket in chosen if found[bucket.id].free_at > now}
    if late:
        raise Slowed(purpose, late)
    after = {bucket: bucket.allowance.after_try(found[bucket.id].drained_at, now) for bucket in chosen}
    buckets.write(
        table,
        {
            bucket.id: Filling(drained_at, now + wait if wait else found[bucket.id].free_at)
            for bucket, (drained_at, wait) in after.items()
        },
    )
    return {bucket.counted: wait for bucket, (_, wait) in after.items() if wait}


def _take_back(made: Try) -> None:
    """One try less. After a right one the account's misses are forgotten: only those in a row count."""
    if made.here:
        with transaction():
            _empty(ClinicBucket, made.here, forgetting=OF_THE_ACCOUNT if made.was_right else ())
    if made.everywhere:
        with buckets.outside():
            _empty(PlatformBucket, made.everywhere)


def _empty(table: Table, chosen: list[Bucket], forgetting: tuple[Counted, ...] = ()) -> None:
    found = buckets.held(table, chosen)
    now = clock.now()
    after = {}
    for bucket in chosen:
        before = found[bucket.id]
        drained_at = now if bucket.counted in forgetting else bucket.allowance.without_try(before.drained_at)
        after[bucket.id] = Filling(drained_at, min(before.free_at, now))
    buckets.write(table, after)


def _bucket(key: bytes, purpose: Purpose, counted: Counted, what: str) -> Bucket:
    return Bucket(buckets.id_of(key, purpose, counted, what), counted, ALLOWANCES[purpose][counted])


def _sentence(wait: timedelta) -> object:
    """Stands below the words "Too many tries"."""
    minutes = -(-wait // timedelta(minutes=1))
    if minutes > 90:
        return lazy_ngettext("Try again in %(num)d hour.", "Try again in %(num)d hours.", -(-minutes // 60))
    if wait < timedelta(minutes=1):
        return _l("Try again in a minute.")
    return lazy_ngettext("Try again in %(num)d minute.", "Try again in %(num)d minutes.", minutes)

