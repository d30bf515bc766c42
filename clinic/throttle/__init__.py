"""The throttle: guessing gets slower with every miss, for strangers at an account, a network, a clinic and everywhere.

Its one surprise: a try counts as a miss before its secret is looked at, and is taken back when it was right. Nobody can
lock anybody out for good: a browser that signed in before is counted apart from strangers and is let in at once, and a
link by mail always leads back in.
"""

from clinic.throttle.allowances import ALLOWANCES, Allowance, Counted, Purpose
from clinic.throttle.buckets import ClinicBucket, PlatformBucket, forget_drained, forget_drained_outside, outside
from clinic.throttle.tries import Try, at_door, counting, forgive, may_mail, of_holder

__all__ = [
    "ALLOWANCES",
    "Allowance",
    "ClinicBucket",
    "Counted",
    "PlatformBucket",
    "Purpose",
    "Try",
    "at_door",
    "counting",
    "forget_drained",
    "forget_drained_outside",
    "forgive",
    "may_mail",
    "of_holder",
    "outside",
]
