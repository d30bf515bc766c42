"""Lost if it fails: an old letter works for ever, a newer one does not win, or a lock after five misses does not hold."""

from datetime import timedelta

import pytest
from flask import Flask

from clinic import demo, mailed_links
from clinic.actors import Holder
from clinic.mailed_links import LASTS, MOST_MISSES, LinkState
from tenancy import clock, keys, link_tokens
from tenancy.database import db
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.inside import inside, user


def secret_of(link: mailed_links.MailedLink) -> str:
    return link_tokens.token(keys.signing_key(link_tokens.KEY_PURPOSE), Purpose(link.purpose), link.id)


def test_the_times_are_those_that_the_letters_promise() -> None:
    assert LASTS[Purpose.INVITATION] == LASTS[Purpose.STAFF_INVITATION] == timedelta(days=7)
    assert LASTS[Purpose.PASSWORD_RESET] == LASTS[Purpose.STAFF_PASSWORD_RESET] == timedelta(minutes=30)
    assert set(LASTS) == set(Purpose)


@pytest.mark.parametrize("purpose", Purpose)
def test_a_link_is_good_for_its_time_and_then_expired(app: Flask, purpose: Purpose) -> None:
    with inside(app, demo.ELM, Role.DOOR):
        holder = Holder() if purpose is Purpose.REPLY_TO else user("maria@family.example").holder
        link = mailed_links.issue(purpose, holder, "maria@family.example")
        assert link.state == LinkState.GOOD
        found = mailed_links.find(purpose, secret_of(link))
        assert found is not None and found.id == link.id
        with clock.moved(LASTS[purpose] - timedelta(seconds=1)):
            assert link.is_good
        with clock.moved(LASTS[purpose]):
            assert link.state == LinkState.EXPIRED


def test_the_newest_of_a_persons_links_wins_for_its_purpose_only(app: Flask) -> None:
    with inside(app, demo.ELM):
        maria, omar = user("maria@family.example").holder, user("omar@family.example").holder
        first = mailed_links.issue(Purpose.PASSWORD_RESET, maria, "maria@family.example")
        other_purpose = mailed_links.issue(Purpose.INVITATION, maria, "maria@family.example")
        other_person = mailed_links.issue(Purpose.PASSWORD_RESET, omar, "omar@family.example")
        newest = mailed_links.issue(Purpose.PASSWORD_RESET, maria, "maria@family.example")
        db.session.expire_all()
        states = [each.state for each in (first, other_purpose, other_person, newest)]
    assert states == [LinkState.SUPERSEDED, LinkState.GOOD, LinkState.GOOD, LinkState.GOOD]


def test_a_used_link_says_used_even_when_it_would_be_expired_too(app: Flask) -> None:
    """So that a family who is set up already reads "sign in", not "ask for another"."""
    with inside(app, demo.ELM):
        link = mailed_links.issue(Purpose.INVITATION, user("grace@family.example").holder, "grace@family.example")
        mailed_links.use(link)
        with clock.moved(timedelta(days=8)):
            assert link.state == LinkState.USED


def test_five_misses_lock(app: Flask) -> None:
    with inside(app, demo.ELM):
        link = mailed_links.issue(Purpose.INVITATION, user("grace@family.example").holder, "grace@family.example")
        assert [mailed_links.miss(link) for _each in range(MOST_MISSES)] == [False] * 4 + [True]
        assert link.state == LinkState.LOCKED


def test_withdrawing_ends_what_is_open_and_leaves_what_is_over(app: Flask) -> None:
    with inside(app, demo.ELM):
        maria = user("maria@family.example").holder
        used = mailed_links.issue(Purpose.PASSWORD_RESET, maria, "maria@family.example")
        mailed_links.use(used)
        db.session.flush()
        open_one = mailed_links.issue(Purpose.INVITATION, maria, "maria@family.example")
        replies = mailed_links.issue(Purpose.REPLY_TO, Holder(), "desk@elm.example")
        mailed_links.withdraw_all_of(maria)
        db.session.expire_all()
        assert [each.state for each in (used, open_one, replies)] == [LinkState.USED, LinkState.WITHDRAWN, LinkState.GOOD]
        mailed_links.withdraw_all_in_clinic()
        db.session.expire_all()
        assert replies.state == LinkState.WITHDRAWN


def test_withdrawing_at_one_clinic_leaves_the_others_links(app: Flask) -> None:
    with inside(app, demo.OAK):
        oaks = mailed_links.issue(Purpose.PASSWORD_RESET, user("maria@family.example").holder, "maria@family.example")
    with inside(app, demo.ELM):
        mailed_links.withdraw_all_in_clinic()
    with inside(app, demo.OAK, Role.DOOR):
        found = mailed_links.find(Purpose.PASSWORD_RESET, secret_of(oaks))
        assert found is not None and found.is_good
