"""How many tries are free, and how long somebody waits for more: one leaky bucket for everything that is counted.

Each try fills a bucket by one, and it drains by one every `drains`. Beyond `free` tries, every further one is followed
by a wait: `first`, twice that, four times …, at most `longest`. Pure: no database, no clock.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
MOST_DOUBLINGS = 20


class Purpose(StrEnum):
    """What is tried; the first half of the audit event `<purpose>.slowed`."""

    SIGN_IN = "sign_in"  # an address and a password at a door
    FACTOR_CODE = "factor_code"  # the code of an authenticator, or a recovery code
    PRESENT_PASSWORD = "present_password"  # asked again of somebody signed in
    EMAIL_CHANGE = "email_change"  # a letter to a new address of one's own
    PASSWORD_RESET = "password_reset"  # a letter with a link
    PORTAL_SEARCH = "portal_search"  # a letter with every portal of an address


class Counted(StrEnum):
    """Whose tries are counted together."""

    ACCOUNT = "account"  # on one address, known here or not, from browsers that nobody knows
    DEVICE = "device"  # on one address, from one browser that signed in to it before
    NETWORK = "network"  # from one network at one clinic
    CLINIC = "clinic"  # at one clinic, from browsers that nobody knows
    EVERYWHERE = "everywhere"  # from one network at all clinics and the front door


@dataclass(frozen=True)
class Allowance:
    free: int
    first: timedelta
    longest: timedelta
    drains: timedelta

    def after_try(self, drained_at: datetime, now: datetime) -> tuple[datetime, timedelta]:
        """(when the bucket will be empty, how long the next try must wait), had it else been empty at `drained_at`."""
        filled = max(drained_at, now) + self.drains
        beyond = ceil((filled - now) / self.drains) - self.free
        wait = timedelta(0) if beyond < 0 else min(self.first * 2 ** min(beyond, MOST_DOUBLINGS), self.longest)
        return filled, wait

    def without_try(self, drained_at: datetime) -> datetime:
        """When the bucket is empty if one try less had been made."""
        return drained_at - self.drains


# At most 95 guesses a month at one secret, however patient: 15 in the first day, then one every 9 hours.
GUESSES = Allowance(free=5, first=MINUTE, longest=9 * HOUR, drains=9 * HOUR)
# Three at once, then one every half hour: never more than five within any hour.
LETTERS = Allowance(free=3, first=30 * MINUTE, longest=30 * MINUTE, drains=30 * MINUTE)

ALLOWANCES: dict[Purpose, dict[Counted, Allowance]] = {
    Purpose.SIGN_IN: {
        Counted.ACCOUNT: GUESSES,
        Counted.DEVICE: GUESSES,
        Counted.NETWORK: Allowance(free=20, first=MINUTE, longest=15 * MINUTE, drains=3 * MINUTE),
        Counted.CLINIC: Allowance(free=200, first=SECOND, longest=30 * SECOND, drains=10 * SECOND),
        Counted.EVERYWHERE: Allowance(free=30, first=MINUTE, longest=15 * MINUTE, drains=2 * MINUTE),
    },
    Purpose.FACTOR_CODE: {Counted.ACCOUNT: GUESSES},
    Purpose.PRESENT_PASSWORD: {Counted.ACCOUNT: GUESSES},
    Purpose.EMAIL_CHANGE: {Counted.ACCOUNT: LETTERS},
    Purpose.PASSWORD_RESET: {
        Counted.ACCOUNT: LETTERS,
        Counted.NETWORK: Allowance(free=20, first=5 * MINUTE, longest=30 * MINUTE, drains=5 * MINUTE),
        Counted.CLINIC: Allowance(free=200, first=SECOND, longest=30 * SECOND, drains=10 * SECOND),
        Counted.EVERYWHERE: Allowance(free=40, first=5 * MINUTE, longest=30 * MINUTE, drains=5 * MINUTE),
    },
    Purpose.PORTAL_SEARCH: {
        Counted.ACCOUNT: LETTERS,
        Counted.EVERYWHERE: Allowance(free=20, first=5 * MINUTE, longest=30 * MINUTE, drains=5 * MINUTE),
    },
}
