"""Lost if it fails: a person cannot see where they are signed in, or cannot end it; or a page ends what is not theirs.

What ends a session, and what must not prolong it, is in tests/attack/test_t29_session_life.py.
"""

import base64
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import select

from clinic import browsers, demo, sessions
from clinic.actors import Holder
from clinic.audit import AuditEntry
from clinic.browsers import Browser
from clinic.sessions import Stage
from tenancy import clock
from tenancy.database import db
from tenancy.errors import Conflict, NotFound
from tenancy.tenant import Role
from tests.inside import inside, member, user
from tests.visitor import Visitor

MARIA, OMAR, ANA, BEN = "maria@family.example", "omar@family.example", "ana@elm.example", "ben@elm.example"
AT_ADMIN = f"/{demo.ELM}"
INSTANT = timedelta(microseconds=1)


def holder(email: str) -> Holder:
    """Of somebody at Elm Street; inside the clinic."""
    return user(email).holder if email.endswith("family.example") else member(email).holder


def live(app: Flask, email: str) -> list[sessions.SessionRow]:
    with inside(app, demo.ELM, Role.DOOR):
        return sessions.of_holder(holder(email))


def begin(app: Flask, email: str, times: int = 1) -> list[UUID]:
    with inside(app, demo.ELM, Role.DOOR):
        for _ in range(times):
            sessions.start(holder(email))
        return [row.id for row in sessions.of_holder(holder(email))]


def events(app: Flask) -> list[str]:
    with inside(app, demo.ELM):
        return list(db.session.scalars(select(AuditEntry.event).order_by(AuditEntry.at)))


def test_a_sign_in_keeps_the_browser_and_the_address_it_came_from(app: Flask) -> None:
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
    visitor = Visitor(app, f"http://{demo.ELM}.localhost:8000")
    visitor.client.environ_base["HTTP_USER_AGENT"] = agent
    visitor.client.environ_base["REMOTE_ADDR"] = "192.0.2.7"
    visitor.sign_in(MARIA)
    (row,) = live(app, MARIA)
    assert (row.browser, row.network_address) == ("Firefox · Linux", "192.0.2.7")
    page = visitor.read("/profile/sessions")
    assert "Firefox · Linux" in page and "192.0.2.7" in page and page.count("This one") == 1
    assert browsers.current() == Browser()  # and nothing of it stays for the next request


def test_a_list_shows_ones_own_live_sign_ins_the_newest_first(app: Flask) -> None:
    begin(app, OMAR)
    with clock.moved(-sessions.IDLE_PORTAL - timedelta(seconds=1)):
        begin(app, MARIA)  # idle since
    with clock.moved(timedelta(minutes=-5)):
        oldest = begin(app, MARIA)[0]
    newest = begin(app, MARIA)[0]
    assert [row.id for row in live(app, MARIA)] == [newest, oldest]


@pytest.mark.parametrize(("email", "other"), [(MARIA, OMAR), (ANA, BEN)])
def test_one_ends_ones_own_and_nobody_elses(app: Flask, email: str, other: str) -> None:
    (mine,), (theirs,) = begin(app, email), begin(app, other)
    with inside(app, demo.ELM, Role.DOOR):
        sessions.end_own(holder(email), mine)
        with pytest.raises(Conflict):
            sessions.end_own(holder(email), mine)
        for nobodys in (theirs, uuid4()):
            with pytest.raises(NotFound):
                sessions.end_own(holder(email), nobodys)
    assert not live(app, email) and live(app, other)
    assert events(app)[-1] == "session.ended"


@pytest.mark.parametrize(("email", "other"), [(MARIA, OMAR), (ANA, BEN)])
def test_signing_out_everywhere_ends_all_of_ones_own_and_nobody_elses(app: Flask, email: str, other: str) -> None:
    mine, _theirs = begin(app, email, times=2), begin(app, other)
    with inside(app, demo.ELM, Role.DOOR):
        assert not sessions.has_ended(mine[0])
        sessions.sign_out_everywhere(holder(email))
        assert [sessions.has_ended(each) for each in mine] == [True, True]
        me = holder(email)
    assert not live(app, email) and len(live(app, other)) == 1
    with inside(app, demo.ELM):
        last = db.session.scalars(select(AuditEntry).order_by(AuditEntry.at.desc())).first()
        assert last and (last.event, last.subject_id) == ("sessions.ended", me.staff_member_id or me.portal_user_id)


def test_a_family_ends_another_browsers_sign_in_on_its_page(app: Flask, maria: Visitor) -> None:
    this_one, other = live(app, MARIA)[0].id, begin(app, MARIA)[0]
    assert "Chrome" not in maria.read("/profile/sessions")
    answer = maria.post(f"/profile/sessions/{other}/ending")
    assert answer.headers["Location"] == "/profile/sessions"
    assert "That sign-in is ended." in maria.read("/profile/sessions")
    maria.post(f"/profile/sessions/{other}/ending")
    assert "This sign-in has ended already." in maria.read("/profile/sessions")
    assert [row.id for row in live(app, MARIA)] == [this_one]


def test_staff_end_another_browsers_sign_in_on_their_page(app: Flask, ana: Visitor) -> None:
    this_one, other = live(app, ANA)[0].id, begin(app, ANA)[0]
    ana.read(f"{AT_ADMIN}/profile/sessions")
    ana.post(f"{AT_ADMIN}/profile/sessions/{other}/ending")
    assert "That sign-in is ended." in ana.read(f"{AT_ADMIN}/profile/sessions")
    ana.post(f"{AT_ADMIN}/profile/sessions/{other}/ending")
    assert "This sign-in has ended already." in ana.read(f"{AT_ADMIN}/profile/sessions")
    assert [row.id for row in live(app, ANA)] == [this_one]


def test_a_page_says_how_long_its_reader_stays_signed_in(still: None, maria: Visitor, ana: Visitor) -> None:
    for visitor, path, idle in ((maria, "/session", 20 * 60), (ana, f"{AT_ADMIN}/session", 15 * 60)):
        left = visitor.get(path).json
        assert (left["idle"], left["most"]) == (idle, 12 * 3600)
    page = maria.read("/profile")
    assert 'data-warn-seconds="120"' in page and "You will be signed out in 2 minutes" in page
    assert "session.js" not in maria.read("/sign-in")


def test_an_eleventh_sign_in_ends_the_oldest_and_half_ones_end_none(app: Flask) -> None:
    """Whoever knows the password alone cannot crowd out who has the code too."""
    with clock.moved(timedelta(minutes=-5)):
        oldest = begin(app, MARIA)[0]
    begin(app, MARIA, times=9)
    with inside(app, demo.ELM, Role.DOOR):
        for _ in range(12):
            sessions.start(holder(MARIA), Stage.FACTOR_DUE)
    assert len(live(app, MARIA)) == 10 and live(app, MARIA)[-1].id == oldest
    begin(app, MARIA)
    assert len(live(app, MARIA)) == 10 and oldest not in [row.id for row in live(app, MARIA)]


def test_a_new_address_signs_out_families_and_a_suspension_everybody(app: Flask) -> None:
    everybody = (MARIA, OMAR, ANA, BEN)
    for email in everybody:
        begin(app, email)
    with inside(app, demo.ELM, Role.OPERATOR):
        sessions.end_all_on_portal("another address")
    assert [email for email in everybody if live(app, email)] == [ANA, BEN]
    with inside(app, demo.ELM, Role.OPERATOR):
        sessions.end_all_in_clinic("suspended")
    assert not [email for email in everybody if live(app, email)]


@pytest.mark.parametrize(("email", "idle"), [(MARIA, timedelta(minutes=20)), (ANA, timedelta(minutes=15))])
def test_it_lives_until_just_before_the_instants_that_its_page_is_told(
    still: None, app: Flask, email: str, idle: timedelta
) -> None:
    """A page that warns two minutes ahead counts on them."""
    began, longest = clock.now(), timedelta(hours=12)
    with inside(app, demo.ELM, Role.DOOR):
        token = sessions.start(holder(email))

    def found(after: timedelta, *, is_attended: bool = False) -> sessions.LiveSession | None:
        with clock.moved(after), inside(app, demo.ELM, Role.DOOR):
            return sessions.find_live(token, is_attended=is_attended)

    live = found(idle - INSTANT)
    assert live and (live.idle_until, live.ends_at) == (began + idle, began + longest)
    assert found(idle) is None
    while live and live.idle_until < began + longest:
        live = found(live.idle_until - timedelta(minutes=1) - began, is_attended=True)
    assert found(longest - INSTANT) and found(longest) is None


def test_it_is_seen_again_once_a_minute(still: None, app: Flask) -> None:
    """Each page would write else; and a page that writes nothing for long signs its reader out."""
    began, minute = clock.now(), timedelta(minutes=1)
    with inside(app, demo.ELM, Role.DOOR):
        token = sessions.start(holder(MARIA))
    for after, seen in ((minute, began), (minute + INSTANT, began + minute + INSTANT)):
        with clock.moved(after), inside(app, demo.ELM, Role.DOOR):
            live = sessions.find_live(token)
            assert live and live.idle_until == seen + timedelta(minutes=20)
            assert sessions.of_holder(live.holder)[0].last_seen_at == seen


def test_a_proof_counts_for_fifteen_minutes(still: None, app: Flask) -> None:
    """After them, whoever finds the browser open is asked who they are before anything sensitive."""
    with inside(app, demo.ELM, Role.DOOR):
        live = sessions.find_live(sessions.start(holder(MARIA)))
        assert live and live.is_fresh
        with clock.moved(timedelta(minutes=15)):
            assert live.is_fresh
        with clock.moved(timedelta(minutes=15) + INSTANT):
            assert not live.is_fresh


def test_a_token_is_256_random_bits(app: Flask) -> None:
    with inside(app, demo.ELM, Role.DOOR):
        tokens = {sessions.start(holder(MARIA)) for _ in range(3)}
    assert {len(base64.urlsafe_b64decode(f"{each}=")) for each in tokens} == {32} and len(tokens) == 3


def test_who_held_a_token_is_known_after_its_end_too(app: Flask) -> None:
    with inside(app, demo.ELM, Role.DOOR):
        token = sessions.start(holder(MARIA))
        sessions.end_all_of(holder(MARIA), "a test")
        assert sessions.find_holder(token) == holder(MARIA)
        assert sessions.find_holder("made up") is None
    with inside(app, demo.OAK, Role.DOOR):
        assert sessions.find_holder(token) is None
