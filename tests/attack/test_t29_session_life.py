"""T29: a sign-in ends when it should, in every process, at the very next request; and only a person prolongs it.

Lost if it fails: a page left open on a clinic's front desk or a family's tablet stays open for whoever comes next; or
somebody who was signed out, sent away, or whose cookie was stolen, is still inside through another process.
Two applications stand on one database, as two worker processes do; a thief holds a copy of the cookie. Idle and absolute
ends to the second, polling, sign-out here and everywhere, a new password, deactivation, a role taken away, a clinic
suspended, a restart, one sign-in too many; and what somebody typed meanwhile survives signing in again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

import portal_app.guards
from clinic import demo, portal_users, sessions
from clinic.actors import Holder
from clinic.sessions import SignInSession
from clinic.staff import StaffRole
from tenancy import clock
from tenancy.database import db
from tenancy.tenant import Role
from tests.conftest import Cluster, one_more_app, working_on
from tests.inside import inside, member, patient, user
from tests.visitor import Visitor
from ui import session_life

SECOND = timedelta(seconds=1)
LONGEST, MOST_AT_ONCE = timedelta(hours=12), 10  # as promised, whatever the program says
MARIA, ANA = "maria@family.example", "ana@elm.example"
AT_ADMIN = f"/{demo.ELM}"
TYPED = "A long letter <b>about</b> Leo & his night."


@dataclass
class Door:
    """Where somebody signs in, what a page there shows to them alone, and for how long."""

    email: str
    base_url: str
    prefix: str
    shown: str
    idle: timedelta

    def path(self, path: str = "/") -> str:
        return self.prefix + path

    def enter(self, app: Flask) -> Visitor:
        return Visitor(app, self.base_url).sign_in(self.email, self.prefix)

    def holder(self) -> Holder:
        """Inside the clinic."""
        return member(self.email).holder if self.prefix else user(self.email).holder


DOORS = {
    "portal": Door(MARIA, f"http://{demo.ELM}.localhost:8000", "", "Leo", timedelta(minutes=20)),
    "admin": Door(ANA, "http://admin.localhost:8000", AT_ADMIN, "Ana Alvarez", timedelta(minutes=15)),
}


@dataclass
class World:
    """Two processes on one database; somebody signed in at a door, and a thief with their cookie at the other process."""

    door: Door
    app: Flask
    other: Flask
    person: Visitor
    thief: Visitor


@pytest.fixture(scope="module")
def _another_process(cluster: Cluster) -> Iterator[Flask]:
    with one_more_app(cluster.settings) as app:
        yield app


@pytest.fixture
def other(committed_app: Flask, _another_process: Flask) -> Iterator[Flask]:
    """Another process of the same installation."""
    with working_on(committed_app.config["PORTICO"], _another_process):
        yield _another_process


@pytest.fixture(params=DOORS)
def world(request: pytest.FixtureRequest, committed_app: Flask, other: Flask) -> World:
    return standing(DOORS[request.param], committed_app, other)


@pytest.fixture
def at_portal(committed_app: Flask, other: Flask) -> World:
    return standing(DOORS["portal"], committed_app, other)


@pytest.fixture
def at_admin(committed_app: Flask, other: Flask) -> World:
    return standing(DOORS["admin"], committed_app, other)


def standing(door: Door, app: Flask, other: Flask) -> World:
    person = door.enter(app)
    return World(door, app, other, person, stolen(person, other))


def stolen(person: Visitor, app: Flask) -> Visitor:
    thief = person.at(person.base_url)
    thief.app, kept = app, list(thief.client._cookies.values())
    thief.client = app.test_client()
    for cookie in kept:
        thief.client.set_cookie(cookie.key, cookie.value, domain=cookie.domain)
    return thief


def is_in(visitor: Visitor, door: Door, **options: Any) -> bool:
    answer = visitor.client.get(door.path(), base_url=visitor.base_url, **options)
    if answer.status_code == 200:
        assert door.shown in answer.text
        return True
    assert answer.status_code in (303, 404) and door.shown not in answer.text
    return False


def seen_at(world: World) -> Any:
    with inside(world.app, demo.ELM, Role.DOOR):
        return db.session.scalars(select(SignInSession.last_seen_at).order_by(SignInSession.started_at.desc())).first()


def everybody_is_out(world: World) -> None:
    assert not is_in(world.thief, world.door), "the thief, in the other process"
    assert not is_in(world.person, world.door), "the person"


# By itself


def test_it_ends_after_the_idle_time_to_the_second(still: None, world: World) -> None:
    with clock.moved(world.door.idle - SECOND):
        assert is_in(world.person, world.door)  # and was seen again
    with clock.moved(2 * world.door.idle - 2 * SECOND):
        assert is_in(world.thief, world.door)
    with clock.moved(3 * world.door.idle - SECOND):
        everybody_is_out(world)


def test_it_ends_after_twelve_hours_however_busy(still: None, world: World) -> None:
    step = timedelta(minutes=14)
    for number in range(1, int(LONGEST / step) + 1):
        with clock.moved(number * step):
            assert is_in(world.person, world.door), number
    with clock.moved(LONGEST - SECOND):
        assert is_in(world.person, world.door)
    with clock.moved(LONGEST + SECOND):
        everybody_is_out(world)


UNATTENDED: dict[str, dict[str, Any]] = {
    "a page's own script": {"headers": {session_life.UNATTENDED: "1"}},
    "a page that refreshes itself without scripts": {"query_string": {"unattended": "1"}},
    "a browser that loads ahead": {"headers": {"Sec-Purpose": "prefetch"}},
}


@pytest.mark.parametrize("how", UNATTENDED)
def test_polling_keeps_nobody_signed_in(world: World, how: str) -> None:
    before, paths = seen_at(world), (world.door.path(), world.door.path("/session"))
    for minutes in range(2, int(world.door.idle.total_seconds()) // 60, 4):
        with clock.moved(timedelta(minutes=minutes)):
            for path in paths:
                answer = world.person.client.get(path, base_url=world.door.base_url, **UNATTENDED[how])
                assert answer.status_code == 200
            assert world.person.head(world.door.path()).status_code == 200
    assert seen_at(world) == before
    with clock.moved(world.door.idle + SECOND):
        everybody_is_out(world)


def test_a_pages_own_script_never_takes_a_new_sign_in_away(world: World) -> None:
    """Asked with the old cookie, answered after the person has signed in again: the answer must hold no cookie."""
    with clock.moved(world.door.idle + SECOND):
        for how in UNATTENDED.values():
            answer = world.thief.client.get(world.door.path("/session"), base_url=world.door.base_url, **how)
            assert answer.status_code == 303 and "Set-Cookie" not in answer.headers


def test_asking_after_the_end_does_not_bring_it_back(world: World) -> None:
    copy = stolen(world.person, world.app)
    with clock.moved(world.door.idle + SECOND):
        everybody_is_out(world)
    assert is_in(copy, world.door)  # were the clock to go back: the row was not touched


def test_stay_signed_in_counts_as_activity(still: None, world: World) -> None:
    with clock.moved(world.door.idle - SECOND):
        world.person.get(world.door.path("/profile"), headers={session_life.UNATTENDED: "1"})  # the page's form token
        left = world.person.post(world.door.path("/session")).json
        assert left["idle"] >= world.door.idle.total_seconds() - 5
    with clock.moved(2 * world.door.idle - 5 * SECOND):
        assert is_in(world.person, world.door)


def test_a_page_that_refreshes_itself_says_so_without_scripts(at_admin: World) -> None:
    with at_admin.app.test_request_context(base_url=at_admin.door.base_url):
        page = at_admin.app.jinja_env.get_template("ui/page.html").render(refresh_seconds=4, clinic=None)
    assert '<meta http-equiv="refresh" content="4;url=?unattended=1">' in page


# By somebody


def sign_out(world: World) -> None:
    answer = world.person.post(world.door.path("/sign-out"))
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'  # not the cookies of other clinics' hosts


def sign_out_everywhere_elsewhere(world: World) -> None:
    elsewhere = world.door.enter(world.other)
    elsewhere.read(world.door.path("/profile/sessions"))
    answer = elsewhere.post(world.door.path("/profile/sessions/ending"))
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert not is_in(elsewhere, world.door)


def end_it_elsewhere(world: World) -> None:
    with inside(world.app, demo.ELM, Role.DOOR):
        row = sessions.of_holder(world.door.holder())[-1]
    elsewhere = world.door.enter(world.other)
    elsewhere.read(world.door.path("/profile/sessions"))
    elsewhere.post(world.door.path(f"/profile/sessions/{row.id}/ending"))
    assert is_in(elsewhere, world.door)


def deactivate(world: World) -> None:
    with inside(world.app, demo.ELM):
        if world.door.prefix:
            member(ANA).deactivated_at = clock.now()
        else:
            portal_users.deactivate(user(MARIA).id)


def suspend_the_clinic(world: World) -> None:
    done = world.app.test_cli_runner().invoke(args=["clinics", "suspend", demo.ELM])
    assert done.exit_code == 0, done.output


def suspend_and_resume_the_clinic(world: World) -> None:
    suspend_the_clinic(world)
    world.app.test_cli_runner().invoke(args=["clinics", "resume", demo.ELM])


ENDINGS: dict[str, Callable[[World], None]] = {
    "signing out": sign_out,
    "signing out everywhere, in another browser": sign_out_everywhere_elsewhere,
    "ending it in another browser": end_it_elsewhere,
    "deactivation": deactivate,
    "suspending the clinic": suspend_the_clinic,
    "suspending and resuming the clinic": suspend_and_resume_the_clinic,
}


@pytest.mark.parametrize("how", ENDINGS)
def test_ended_is_ended_in_every_process_at_the_next_request(world: World, how: str) -> None:
    assert is_in(world.person, world.door) and is_in(world.thief, world.door)
    ENDINGS[how](world)
    everybody_is_out(world)
    with one_more_app(world.app.config["PORTICO"]) as newly_started:
        assert not is_in(stolen(world.thief, newly_started), world.door)


def test_a_new_password_ends_every_other_sign_in(at_portal: World) -> None:
    at_portal.person.read("/profile/password")
    form = {"present": demo.PASSWORD, "password": "eleven quiet green lamps"}
    assert at_portal.person.post("/profile/password", form).status_code == 303
    assert not is_in(at_portal.thief, at_portal.door)
    assert is_in(at_portal.person, at_portal.door)  # under another id
    assert not is_in(stolen(at_portal.thief, at_portal.app), at_portal.door)


def test_a_role_taken_away_is_gone_at_the_next_request(at_admin: World) -> None:
    page = at_admin.door.path("/clinic-options")
    assert at_admin.thief.get(page).status_code == 200
    with inside(at_admin.app, demo.ELM):
        member(ANA).role = StaffRole.BILLING
    assert at_admin.thief.get(page).status_code == 403
    assert at_admin.person.get(page).status_code == 403


def test_a_restart_ends_nothing_by_itself(world: World) -> None:
    with one_more_app(world.app.config["PORTICO"]) as newly_started:
        assert is_in(stolen(world.person, newly_started), world.door)


def test_the_back_button_shows_nothing_after_signing_out(world: World) -> None:
    page = world.person.get(world.door.path())
    assert page.headers["Cache-Control"] == "no-store"
    sign_out(world)
    assert world.person.get(world.door.path()).status_code == 303


def test_an_eleventh_sign_in_ends_the_oldest(world: World) -> None:
    others = [world.door.enter(world.other) for _ in range(MOST_AT_ONCE - 1)]
    assert is_in(world.person, world.door)
    others.append(world.door.enter(world.other))
    everybody_is_out(world)
    assert all(is_in(each, world.door) for each in others)


# What was typed


def message_form(world: World) -> tuple[str, dict[str, str]]:
    """A page with a text to write, and what is typed there."""
    with inside(world.app, demo.ELM):
        leo, maria = patient("Leo Lopez").id, user(MARIA).id
    fields = {"subject": "A bad night", "text": TYPED} | ({"reader_id": str(maria)} if world.door.prefix else {})
    return world.door.path(f"/patients/{leo}/conversations/new"), fields


def test_a_form_left_open_can_be_sent_after_signing_in_again(world: World) -> None:
    path, fields = message_form(world)
    world.person.read(path)
    old_token = world.person.token
    with clock.moved(world.door.idle + SECOND):
        assert not is_in(world.person, world.door)
        world.person.sign_in(world.door.email, world.door.prefix)  # in another tab
        assert world.person.post(path, fields | {"csrf_token": old_token}).status_code == 303


def test_a_form_sent_too_late_is_kept_and_can_be_sent_again(world: World) -> None:
    path, fields = message_form(world)
    world.person.read(path)
    with clock.moved(world.door.idle + SECOND):
        for _ in range(2):  # pressed twice
            answer = world.person.post(path, fields)
            assert answer.status_code == 409 and f'action="{path}"' in answer.text
            assert "A long letter &lt;b&gt;about&lt;/b&gt; Leo &amp; his night." in answer.text
        kept_token = world.person.token
        world.person.sign_in(world.door.email, world.door.prefix)
        assert world.person.post(path, fields | {"csrf_token": kept_token}).status_code == 303


def test_a_file_that_cannot_be_kept_is_asked_for_again(at_portal: World) -> None:
    path, fields = message_form(at_portal)
    at_portal.person.read(path)
    with clock.moved(at_portal.door.idle + SECOND):
        answer = at_portal.person.post(path, fields | {"file": (__file__, "a.pdf")})
        assert "Files cannot be kept" in answer.text


def test_a_password_is_never_kept_in_a_page(at_portal: World) -> None:
    at_portal.person.read("/profile/password")
    with clock.moved(at_portal.door.idle + SECOND):
        answer = at_portal.person.post("/profile/password", {"present": demo.PASSWORD, "password": "a new one, long"})
    assert answer.status_code == 303 and demo.PASSWORD not in answer.text


def test_a_form_is_not_sent_in_somebody_elses_name(at_portal: World) -> None:
    """A mother writes, is signed out, and the father signs in in the same browser."""
    path, fields = message_form(at_portal)
    at_portal.person.read(path)
    old_token = at_portal.person.token
    with clock.moved(at_portal.door.idle + SECOND):
        at_portal.person.sign_in("omar@family.example")
        assert at_portal.person.post(path, fields | {"csrf_token": old_token}).status_code == 403


def test_signing_out_on_purpose_keeps_nothing(world: World) -> None:
    path, fields = message_form(world)
    world.person.read(path)
    old_token = world.person.token
    sign_out(world)
    assert world.person.post(path, fields | {"csrf_token": old_token}).status_code == 403
    world.person.sign_in(world.door.email, world.door.prefix)
    assert world.person.post(path, fields | {"csrf_token": old_token}).status_code == 403


# Planted


def test_planted_ending_ends_nothing(at_portal: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_end", lambda *_, **__: None)
    for how in ("signing out everywhere, in another browser", "ending it in another browser"):
        with pytest.raises(AssertionError):
            test_ended_is_ended_in_every_process_at_the_next_request(at_portal, how)


def test_planted_one_process_remembers_who_is_in(at_portal: World, monkeypatch: pytest.MonkeyPatch) -> None:
    find, known = sessions.find_live, {}

    def remembering(token: str, **options: Any) -> Any:
        known.setdefault(token, find(token, **options))
        return known[token]

    monkeypatch.setattr(portal_app.guards.sessions, "find_live", remembering)
    with pytest.raises(AssertionError):
        test_ended_is_ended_in_every_process_at_the_next_request(at_portal, "signing out")


@pytest.mark.parametrize("limit", ["IDLE_STAFF", "IDLE_PORTAL"])
def test_planted_a_limit_is_forgotten(
    still: None, committed_app: Flask, other: Flask, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(sessions, limit, timedelta(days=1))
    world = standing(DOORS["admin" if limit == "IDLE_STAFF" else "portal"], committed_app, other)
    with pytest.raises(AssertionError):
        test_it_ends_after_the_idle_time_to_the_second(still, world)


def test_planted_the_longest_is_forgotten(
    still: None, at_portal: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "LONGEST", LONGEST + timedelta(minutes=1))
    with pytest.raises(AssertionError):
        test_it_ends_after_twelve_hours_however_busy(still, at_portal)


def test_planted_polling_counts(at_portal: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_life, "is_attended", lambda: True)
    for how in UNATTENDED:
        with pytest.raises(AssertionError):
            test_polling_keeps_nobody_signed_in(at_portal, how)


def test_planted_any_number_at_once(at_portal: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_AT_ONCE", 11)
    with pytest.raises(AssertionError):
        test_an_eleventh_sign_in_ends_the_oldest(at_portal)


def test_planted_a_form_token_for_one_sign_in_only(at_portal: World, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = session_life.begin
    monkeypatch.setattr(session_life, "begin", lambda **_: begin(by_the_same_person=False))
    with pytest.raises(AssertionError):
        test_a_form_left_open_can_be_sent_after_signing_in_again(at_portal)


def test_planted_a_form_token_for_everybody(at_portal: World, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = session_life.begin
    monkeypatch.setattr(session_life, "begin", lambda **_: begin(by_the_same_person=True))
    with pytest.raises(AssertionError):
        test_a_form_is_not_sent_in_somebody_elses_name(at_portal)


def test_planted_a_new_password_that_ends_nothing(at_portal: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "end_all_of", lambda *_: None)
    with pytest.raises(AssertionError):
        test_a_new_password_ends_every_other_sign_in(at_portal)
