"""Lost if it fails: a test that says "half a year later" proves nothing, or a clinic's day is somebody else's."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from tenancy import clock


def test_it_is_now_and_for_a_block_it_is_later_or_earlier() -> None:
    """Blocks within blocks add up, and what a block did ends with it, also when it breaks."""
    minute, hour = timedelta(minutes=1), timedelta(hours=1)
    real = datetime.fromtimestamp(time.time(), UTC)
    assert clock.now() - real < minute and clock.now().tzinfo is UTC
    with clock.moved(hour):
        assert timedelta(0) <= clock.now() - real - hour < minute
        with pytest.raises(KeyError), clock.moved(-3 * hour):
            assert timedelta(0) <= clock.now() - real + 2 * hour < minute
            raise KeyError
        assert timedelta(0) <= clock.now() - real - hour < minute
    assert timedelta(0) <= clock.now() - real < minute


def test_today_is_the_clinics() -> None:
    """East of the date line it is tomorrow for most of the day."""
    days = {zone: clock.today(zone) for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago")}
    assert days["Pacific/Kiritimati"] - days["Pacific/Pago_Pago"] in (timedelta(days=1), timedelta(days=2))
