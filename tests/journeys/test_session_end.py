"""The end of a sign-in as a person meets it: said in time, put off by one button, and no typed word lost.

Lost if it fails: a mother writes to the clinic for half an hour and loses it; or a page about her child stays on the
screen of a shared computer after everybody thinks that it is closed.
"""

from datetime import datetime, timedelta

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select, update

from clinic import demo, sessions
from clinic.sessions import SignInSession
from tenancy import clock
from tenancy.database import db
from tenancy.tenant import Role
from tests.conftest import Cluster
from tests.inside import inside, patient
from tests.journeys.conftest import SignIn
from tests.journeys.running import Running

pytestmark = pytest.mark.browser

MARIA = "maria@family.example"
UNTIL_THE_WARNING = timedelta(minutes=18, seconds=5)
TEXT = "Leo slept badly, and here is the whole long story of why."


def newest(running: Running) -> SignInSession:
    with inside(running.app, demo.ELM, Role.DOOR):
        mine = select(SignInSession).where(SignInSession.portal_user_id.is_not(None))
        return db.session.scalars(mine.order_by(SignInSession.started_at.desc()).limit(1)).one()


def pass_by(page: Page, running: Running, row: SignInSession, by: timedelta, **also: datetime) -> None:
    """Time goes by, in the browser and for the session's row."""
    with inside(running.app, demo.ELM, Role.DOOR):
        aged = {"last_seen_at": clock.now() - by} | also
        db.session.execute(update(SignInSession).where(SignInSession.id == row.id).values(**aged))
    page.clock.fast_forward(int(by.total_seconds() * 1000))


def writing_a_message(running: Running, phone: Page, sign_in: SignIn) -> None:
    phone.clock.install()
    sign_in(phone, running.portal(demo.ELM), MARIA)
    with inside(running.app, demo.ELM):
        leo = patient("Leo Lopez").id
    phone.goto(running.portal(demo.ELM, f"/patients/{leo}/conversations/new"))
    phone.get_by_label("Subject").fill("A bad night")
    phone.get_by_label("Message").fill(TEXT)


def test_a_warning_comes_in_time_and_one_button_puts_it_off(portico: Running, phone: Page, sign_in: SignIn) -> None:
    writing_a_message(portico, phone, sign_in)
    row = newest(portico)
    pass_by(phone, portico, row, UNTIL_THE_WARNING)
    warning = phone.get_by_role("alertdialog", name="You will be signed out in 2 minutes")
    expect(warning).to_be_visible()
    expect(warning.get_by_role("button", name="Stay signed in")).to_be_focused()
    assert clock.now() - newest(portico).last_seen_at > timedelta(minutes=18)  # asking kept nobody signed in
    warning.get_by_role("button", name="Stay signed in").click()
    expect(warning).to_be_hidden()
    assert clock.now() - newest(portico).last_seen_at < timedelta(minutes=1)
    expect(phone.get_by_label("Message")).to_have_value(TEXT)


def test_when_it_is_over_the_page_is_covered_and_what_was_typed_is_kept(
    portico: Running, phone: Page, sign_in: SignIn
) -> None:
    writing_a_message(portico, phone, sign_in)
    pass_by(phone, portico, newest(portico), sessions.IDLE_PORTAL + timedelta(seconds=5))
    over = phone.get_by_role("alertdialog", name="You were signed out")
    expect(over).to_be_visible()
    phone.keyboard.press("Escape")
    expect(over).to_be_visible()
    with phone.context.expect_page() as opened:
        over.get_by_role("link", name="Sign in again").click()
    again = opened.value
    again.get_by_label("E-mail").fill(MARIA)
    again.get_by_label("Password").fill(demo.PASSWORD)
    again.get_by_role("button", name="Sign in", exact=True).click()
    again.wait_for_url(portico.portal(demo.ELM))
    again.close()
    phone.bring_to_front()
    phone.evaluate("dispatchEvent(new Event('focus'))")
    expect(over).to_be_hidden()
    phone.get_by_role("button", name="Send").click()
    expect(phone.get_by_text(TEXT)).to_be_visible()


def test_at_the_very_end_nothing_can_put_it_off(
    cluster: Cluster, portico: Running, phone: Page, sign_in: SignIn
) -> None:
    sign_in(phone, portico.portal(demo.ELM), MARIA)
    with psycopg.connect(cluster.url_of(portico.settings), autocommit=True) as administrator:
        almost = clock.now() - sessions.LONGEST + timedelta(seconds=100)
        administrator.execute("UPDATE sessions SET started_at = %s WHERE id = %s", (almost, newest(portico).id))
    phone.reload()
    last = phone.get_by_role("alertdialog", name="You will be signed out in 2 minutes")
    expect(last).to_be_visible()
    expect(last.get_by_role("button", name="Stay signed in")).to_have_count(0)
    last.get_by_role("button", name="Continue").click()
    expect(last).to_be_hidden()


def test_somebody_else_signs_in_and_the_page_is_not_theirs_to_see(
    portico: Running, browser: Browser, phone: Page, sign_in: SignIn
) -> None:
    writing_a_message(portico, phone, sign_in)
    phone.context.clear_cookies()
    other = phone.context.new_page()
    sign_in(other, portico.portal(demo.ELM), "omar@family.example")
    phone.bring_to_front()
    phone.evaluate("dispatchEvent(new Event('focus'))")
    phone.wait_for_load_state()
    expect(phone.get_by_text(TEXT)).to_have_count(0)
    expect(phone.get_by_label("Message")).to_have_count(0)
