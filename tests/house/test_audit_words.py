"""Every event that is recorded has words, so that no clinic reads `appointment.booked` and has to guess."""

import re
from collections.abc import Iterable
from pathlib import Path

import yaml

from admin_app import audit_words

ROOT = Path(__file__).parents[2]
RECORDED = re.compile(r'(?:audit\.record|shows)\(\s*"([a-z_]+\.[a-z_]+)"')


def recorded() -> set[str]:
    """The events that audit.yaml declares, and those that stand in the source."""
    faces = yaml.safe_load((ROOT / "tests" / "house" / "audit.yaml").read_text())["events"]
    values = [value for face in faces.values() for line in face.values() for value in line.values()]
    found = {event for value in values for event in ([value] if isinstance(value, str) else value)}
    for floor in ("clinic", "admin_app", "portal_app"):
        for path in (ROOT / floor).rglob("*.py"):
            found |= set(RECORDED.findall(path.read_text()))
    return found | {event.replace(".listed", ".searched") for event in found if f"{event.partition('.')[0]}.searched" in audit_words.EVENTS}


def wordless(events: Iterable[str]) -> list[str]:
    return sorted(set(events) - audit_words.EVENTS.keys())


def test_every_event_that_is_recorded_has_words() -> None:
    assert wordless(recorded()) == []


def test_planted_an_event_without_words() -> None:
    assert wordless(["document.opened", "document.eaten"]) == ["document.eaten"]
