"""`stripe_fake`: a stand-in for Stripe for each test process, started when the first test asks, emptied for each test."""

import selectors
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tenancy.child_processes import end_with_parent
from tests.stripe_fake.client import StripeFake

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30


@contextmanager
def running(*arguments: str, secret: str = "whsec_for_tests") -> Iterator[StripeFake]:
    """A process of its own, on a port of its own unless one is among the arguments."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.stripe_fake", "--webhook-secret", secret, *arguments], cwd=ROOT,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, preexec_fn=end_with_parent,
    )  # fmt: skip
    assert process.stdout
    try:
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)
            assert waiting.select(START_SECONDS), "The stand-in for Stripe did not start."
        url = process.stdout.readline().strip()
        assert url, "The stand-in for Stripe ended at its start."
        yield StripeFake(url, secret=secret)
    finally:
        process.terminate()
        process.wait(START_SECONDS)
        process.stdout.close()


@pytest.fixture(scope="session")
def _stripe_fake_process() -> Iterator[StripeFake]:
    with running() as fake:
        yield fake


@pytest.fixture
def stripe_fake(_stripe_fake_process: StripeFake) -> Iterator[StripeFake]:
    """Empty; after the test it must not have broken Stripe's contract."""
    _stripe_fake_process.reset()
    yield _stripe_fake_process
    assert _stripe_fake_process.violations() == []
