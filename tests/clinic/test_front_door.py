"""Lost if it fails: a family that lost the address stays lost, or a stranger learns who is a patient where."""

import base64
from ipaddress import ip_network

import pytest
from flask import Flask

from clinic import demo, front_door, portal_users
from tenancy import keys, provisioning
from tenancy.clinics import Status
from tenancy.errors import Refused
from tenancy.known_devices import Caller
from tenancy.languages import Language
from tenancy.tenant import Role
from tests.inside import inside, user, waiting_jobs
from tests.visitor import Visitor, compared

MARIA = "maria@family.example"
A_CALLER = Caller(ip_network("198.51.100.7/32"))


def names_for(app: Flask, email: str) -> list[str]:
    with app.app_context():
        return [portal["name"] for portal in front_door.portals_of(email)]


def jobs(app: Flask) -> list[dict[str, str]]:
    return waiting_jobs(app, front_door.FIND)


@pytest.mark.parametrize(
    ("email", "names"),
    [
        (MARIA, ["Elm Street Therapy", "Oak Hill Pediatrics"]),
        (" MARIA@Family.example", ["Elm Street Therapy", "Oak Hill Pediatrics"]),
        ("omar@family.example", ["Elm Street Therapy"]),
        ("grace@family.example", ["Elm Street Therapy"]),  # invited, not accepted: the portal is where she must go
        ("petra@family.example", []),  # a contact, never invited
        ("ana@elm.example", []),  # staff
        ("nobody@family.example", []),
    ],
)
def test_the_letter_lists_every_portal_of_an_address(app: Flask, email: str, names: list[str]) -> None:
    assert names_for(app, email) == names


def test_a_closed_door_is_not_listed(app: Flask) -> None:
    with inside(app, demo.ELM):
        portal_users.deactivate(user(MARIA).id)
    assert names_for(app, MARIA) == ["Oak Hill Pediatrics"]
    with inside(app, demo.OAK, Role.OPERATOR):
        provisioning.set_status(Status.SUSPENDED)
    assert names_for(app, MARIA) == []


def test_the_page_answers_everybody_alike(app: Flask, front_door: Visitor) -> None:
    """On the screen nobody learns whose address is known; whoever owns it reads the letter."""
    answers = set()
    for email in (MARIA, "nobody@family.example", "ana@elm.example"):
        front_door.get("/")
        answer = front_door.post("/", {"email": email})
        answers.add((answer.status_code, answer.headers["Location"], compared(front_door.get(answer.headers["Location"]).text)))
    assert len(answers) == 1
    assert len(jobs(app)) == 3


def test_the_address_waits_sealed_in_the_queue(app: Flask) -> None:
    """The queue belongs to no clinic; who reads it finds no family's address."""
    with app.app_context():
        front_door.ask(MARIA, Language.ENGLISH, A_CALLER)
        (job,) = jobs(app)
        assert "maria" not in str(job).lower()
        assert b"maria" not in base64.b64decode(job["sealed"])
        opened = keys.unseal_for_platform(base64.b64decode(job["sealed"]), purpose=front_door.PURPOSE)
        assert opened == MARIA.encode()


@pytest.mark.parametrize("typed", ["", "maria", "a@b.example\nBcc: c@d.example", "x" * 400 + "@b.example"])
def test_what_is_no_address_is_refused_at_its_field_and_not_looked_for(app: Flask, front_door: Visitor, typed: str) -> None:
    front_door.get("/")
    answer = front_door.post("/", {"email": typed})
    assert answer.status_code == 422
    assert jobs(app) == []


def test_the_verb_refuses_it_too(app: Flask) -> None:
    with app.app_context(), pytest.raises(Refused):
        front_door.ask("maria", Language.ENGLISH, A_CALLER)
