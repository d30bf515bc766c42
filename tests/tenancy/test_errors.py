"""Lost if it fails: a person is told no without being told why, or when to come back."""

from datetime import timedelta

from tenancy.errors import Busy, Conflict, NotAllowed, NotFound, Refused, TooManyTries

SAID, LATER = "Please choose another.", timedelta(minutes=5)


def test_each_refusal_carries_its_sentence_and_says_it_in_the_log() -> None:
    for refusal in (NotFound(SAID), NotAllowed(SAID), Refused(SAID, field="slug"), Conflict(SAID), TooManyTries(SAID, LATER), Busy(SAID, LATER)):
        assert refusal.message == str(refusal) == SAID
        assert refusal.field == ("slug" if isinstance(refusal, Refused) else None)


def test_whoever_must_wait_is_told_how_long() -> None:
    assert TooManyTries(SAID, LATER).wait == Busy(SAID, LATER).wait == LATER
