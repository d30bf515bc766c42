"""T31: enumeration. An address that is known, unknown, deactivated, invited, staff's or another clinic's is answered alike at
the sign-in, when a link is asked for, at the front door, and as the new address of somebody signed in: status, page,
headers, cookies, the work done and the time it takes. So are a code that is spent, or another's, and one that never was;
an invitation of another clinic and one that never was; a suspended clinic and one that never was.

Lost if it fails: a stranger with a list of addresses and a stop-watch learns whose child is a patient where.
"""

import gc
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from statistics import median
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, update
from sqlalchemy.engine import Engine
from werkzeug.test import TestResponse

from clinic import credentials, demo, email_changes, portal_users, reset_requests, sign_in
from clinic.second_factors import AuthenticatorSecret, recovery_codes
from clinic.throttle import ALLOWANCES, Allowance
from tenancy import provisioning
from tenancy.clinics import Status
from tenancy.database import db
from tenancy.link_tokens import Purpose as LinkPurpose
from tenancy.tenant import Role
from tests.conftest import BASE, PORT
from tests.inside import at_the_door, give_app, inside, member, secret, send_link, user
from tests.visitor import Visitor, app_code, compared

ELM, OAK = f"http://{demo.ELM}.{BASE}:{PORT}", f"http://{demo.OAK}.{BASE}:{PORT}"
ADMIN, APEX = f"http://admin.{BASE}:{PORT}", f"http://{BASE}:{PORT}"
UNKNOWN = "nobody@family.example"
# At Elm Street's portal.
ADDRESSES = {
    "known": "maria@family.example",
    "deactivated": "omar@family.example",
    "invited": "grace@family.example",
    "staff": "ana@elm.example",
    "of another clinic": "ola@oak.example",
    "a contact, never invited": "petra@family.example",
}
ENDLESS = Allowance(10**6, timedelta(seconds=1), timedelta(seconds=1), timedelta(seconds=1))
PAIRS, MOST_MS, MOST_AUC, ROUNDS = 300, 3.0, 0.60, 3
WRONG = "a wrong one, surely"
_VALUE = re.compile(r"'[^']*'|(?<=savepoint_)\d+")

Ask = Callable[[Flask, str], TestResponse]


def _form(at: str, path: str, **more: str) -> Ask:
    def ask(app: Flask, email: str) -> TestResponse:
        form = {"email": email} | more
        return app.test_client().post(path, base_url=at, data=form, headers={"Origin": at})

    return ask


FORMS = {
    "sign-in": _form(ELM, "/sign-in", password=WRONG),
    "new link": _form(ELM, "/new-link"),
    "staff sign-in": _form(ADMIN, f"/{demo.ELM}/sign-in", password=WRONG),
    "staff's new link": _form(ADMIN, f"/{demo.ELM}/forgot-password"),
    "front door": _form(APEX, "/"),
}


@pytest.fixture(autouse=True)
def nothing_else_in_the_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, full_hashes: None) -> None:
    """No form tokens to fetch, and nobody slowed: each try is counted all the same. Omar is deactivated."""
    for allowances in ALLOWANCES.values():
        for counted in allowances:
            monkeypatch.setitem(allowances, counted, ENDLESS)
    app = request.getfixturevalue("committed_app" if "committed_app" in request.fixturenames else "app")
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)
    monkeypatch.setattr(email_changes, "MOST_A_DAY", ENDLESS.free)
    with inside(app, demo.ELM, Role.DOOR):
        for each in (user(ADDRESSES["known"]), user(ADDRESSES["deactivated"]), member("ana@elm.example"), member("ben@elm.example")):
            credentials.choose(each.holder, demo.PASSWORD)
    with inside(app, demo.ELM):
        portal_users.deactivate(user(ADDRESSES["deactivated"]).id)


def twin(email: str) -> str:
    """An unknown address of the same length."""
    name, _, domain = email.partition("@")
    return f"{'q' * len(name)}@{domain}"


@contextmanager
def work_done() -> Iterator[list[str]]:
    """Every statement to the database and every password that is looked at."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        found.append(_VALUE.sub("", statement))

    hasher = credentials._hasher

    class Noting:
        def verify(self, kept: str, password: str) -> bool:
            found.append("$".join(kept.split("$")[:4]))
            return hasher.verify(kept, password)

    event.listen(Engine, "before_cursor_execute", note)
    credentials._hasher = Noting()  # type: ignore[assignment]
    try:
        yield found
    finally:
        credentials._hasher = hasher
        event.remove(Engine, "before_cursor_execute", note)


def noticed(ask: Callable[[], TestResponse], *changing: str) -> tuple[Any, ...]:
    """All that somebody who asks can notice but the time; and what takes the time."""
    with work_done() as work:
        answer = ask()
    body = compared(answer.text)
    for word in changing:
        body = body.replace(word, "WORD")
    headers = [(name, value.partition("=")[0] if name == "Set-Cookie" else compared(value)) for name, value in answer.headers]
    return answer.status_code, sorted(headers), body, work


def check_alike(app: Flask, form: str, email: str) -> None:
    ask, other = FORMS[form], twin(email)
    for each in (email, other):  # whatever is done only the first time was done
        ask(app, each)
    assert noticed(lambda: ask(app, email), email) == noticed(lambda: ask(app, other), other)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ADDRESSES)
def test_every_address_is_answered_alike_with_the_same_work(app: Flask, form: str, kind: str) -> None:
    check_alike(app, form, ADDRESSES[kind])


@pytest.mark.parametrize("kind", ["deactivated", "invited"])
def test_so_is_the_right_password_of_somebody_who_may_not_sign_in(app: Flask, kind: str) -> None:
    ask = _form(ELM, "/sign-in", password=demo.PASSWORD)
    email = ADDRESSES[kind]
    ask(app, email)
    ask(app, twin(email))
    assert noticed(lambda: ask(app, email), email) == noticed(lambda: ask(app, twin(email)), twin(email))


def arrived(app: Flask, made_up: str) -> Visitor:
    visitor = Visitor(app, ELM)
    visitor.get(f"/link/invitation/{made_up}")
    return visitor


def test_an_invitation_of_another_clinic_and_one_that_never_was_are_alike(app: Flask) -> None:
    foreign = send_link(app, demo.ELM, LinkPurpose.INVITATION)
    at_oak = [Visitor(app, OAK) for _ in range(2)]
    for visitor, text in zip(at_oak, (foreign, "A" * len(foreign)), strict=True):
        visitor.get(f"/link/invitation/{text}")
    for method in ("GET", "POST"):
        found = [
            noticed(lambda who=visitor, how=method: who.get("/link/invitation") if how == "GET" else who.post("/link/invitation", {"password": WRONG, "birth_on": "2019-11-05"}))
            for visitor in at_oak
        ]  # fmt: skip
        assert found[0] == found[1]
        assert found[0][0] == 404


@pytest.mark.parametrize(("base", "path"), [("{slug}.", "/"), ("{slug}.", "/sign-in"), ("admin.", "/{slug}/"), ("admin.", "/{slug}/sign-in")])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_suspended_clinic_and_one_that_never_was_are_alike(app: Flask, base: str, path: str, method: str) -> None:
    never = "q" * len(demo.OAK)
    with inside(app, demo.OAK, Role.OPERATOR):
        provisioning.set_status(Status.SUSPENDED)
    found = []
    for slug in (demo.OAK, never):
        at = f"http://{base.format(slug=slug)}{BASE}:{PORT}"
        ask = lambda at=at, slug=slug: app.test_client().open(path.format(slug=slug), method=method, base_url=at, headers={"Origin": at})  # noqa: E731
        ask()
        found.append(noticed(ask, slug))
    assert found[0] == found[1]
    assert found[0][0] in (404, 405)


FACES = {
    "portal": (ELM, "", "maria@family.example", {kind: ADDRESSES[kind] for kind in ("deactivated", "invited")}),
    "staff": (ADMIN, f"/{demo.ELM}", "ben@elm.example", {"known": "ana@elm.example"}),
}  # fmt: skip


def email_changes_of(app: Flask, face: str) -> dict[str, Callable[[], TestResponse]]:
    """Somebody signed in asks to sign in with an address that is nobody's; or with one that is somebody's here."""
    base, prefix, email, taken = FACES[face]
    visitor = Visitor(app, base).sign_in(email, prefix)

    def ask(address: str) -> TestResponse:
        return visitor.post(f"{prefix}/profile/email", {"email": address, "present": demo.PASSWORD})

    return {kind: (lambda address=address: ask(address)) for kind, address in ({"unknown": UNKNOWN} | taken).items()}


def codes_of(app: Flask, step: str) -> dict[str, Callable[[], TestResponse]]:
    """Somebody whose password was right enters a code that is nobody's; or one that was theirs, or is another's."""
    email, other = FACES["portal"][2], ADDRESSES["deactivated"]
    give_app(app, demo.ELM, email)
    visitor = Visitor(app, ELM)
    assert visitor.show_password(email).startswith("/sign-in/code")
    with at_the_door(app, demo.ELM, email) as holder:
        db.session.execute(update(AuthenticatorSecret).values(last_step=10**9))  # all that the app will show is spent
        spent = recovery_codes.renew(holder)[0]
        assert recovery_codes.use(holder, spent)
    with at_the_door(app, demo.ELM, other) as holder:
        others = recovery_codes.renew(holder)[0]
    codes: dict[str, Callable[[], str]] = (
        {"wrong": lambda: f"{(int(app_code()) + 1) % 10**6:06}", "spent": app_code}
        if step == "code"
        else {"wrong": lambda: "aaaa-bbbb-cccc", "spent": lambda: spent, "another's": lambda: others}
    )

    def enter(code: str) -> TestResponse:
        return visitor.post(f"/sign-in/{step}", {"code": code})

    return {kind: (lambda drawn=drawn: enter(drawn())) for kind, drawn in codes.items()}


SIGNED_IN = [(email_changes_of, "portal"), (email_changes_of, "staff"), (codes_of, "code"), (codes_of, "recovery-code")]


@pytest.mark.parametrize(("asks_of", "where"), SIGNED_IN)
def test_a_new_address_and_a_code_are_answered_alike_with_the_same_work(
    app: Flask, asks_of: Callable[[Flask, str], dict[str, Callable[[], TestResponse]]], where: str
) -> None:
    first, *others = asks_of(app, where).values()
    for ask in (first, *others):
        ask()
    seen = noticed(first)
    assert seen[0] == (303 if asks_of is email_changes_of else 422)
    for other in others:
        assert noticed(other) == seen


# Planted -------------------------------------------------------------------------------------------------------------


def plant_a_letter_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The link is mailed within the request, for those who are known."""
    monkeypatch.setattr(reset_requests, "ask", lambda email, of_staff: sign_in.ask_for_reset(email, of_staff=of_staff))


def plant_no_password_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's password is not looked at."""
    is_right = credentials.is_right
    monkeypatch.setattr(credentials, "is_right", lambda holder, password: bool(holder) and is_right(holder, password))


def test_planted_work_for_known_addresses_alone(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    plant_a_letter_at_once(monkeypatch)
    with pytest.raises(AssertionError):
        check_alike(app, "new link", ADDRESSES["known"])


def test_planted_no_password_of_nobody(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    plant_no_password_to_look_at(monkeypatch)
    with pytest.raises(AssertionError):
        check_alike(app, "sign-in", ADDRESSES["known"])


# By the stop-watch ---------------------------------------------------------------------------------------------------


def timed(asks: list[Callable[[], object]], pairs: int) -> list[list[float]]:
    """Milliseconds of each, taken in turns, in an order that turns round each time."""
    found: list[list[float]] = [[] for _ in asks]
    gc.collect()
    gc.disable()
    try:
        for turn in range(pairs + 5):
            for number in range(len(asks)) if turn % 2 else reversed(range(len(asks))):
                begun = time.perf_counter()
                asks[number]()
                if turn >= 5:
                    found[number].append(1000 * (time.perf_counter() - begun))
    finally:
        gc.enable()
    return found


def told_apart(one: list[float], other: list[float]) -> tuple[float, float]:
    """(how many ms lie between the medians; how often a guess by the time alone would be right: 0.5 is a coin)."""
    larger = sum((a > b) + (a == b) / 2 for a in one for b in other) / (len(one) * len(other))
    return abs(median(one) - median(other)), max(larger, 1 - larger)


def check_times(asks: dict[str, Callable[[], object]], pairs: int = PAIRS) -> None:
    """All against the first. A round that the machine disturbed is repeated."""
    for _ in range(ROUNDS):
        first, *others = timed(list(asks.values()), pairs)
        found = {name: told_apart(first, other) for name, other in zip(list(asks)[1:], others, strict=True)}
        medians = [f"{median(each):.2f}" for each in (first, *others)]
        print("medians, ms:", *medians, {name: f"{ms:.3f} ms, AUC {auc:.3f}" for name, (ms, auc) in found.items()})
        if all(ms <= MOST_MS and auc <= MOST_AUC for ms, auc in found.values()):
            return
    raise AssertionError(found)


def times_of(app: Flask, form: str, kinds: tuple[str, ...]) -> dict[str, Callable[[], object]]:
    ask = FORMS[form]
    asks: dict[str, Callable[[], object]] = {"unknown": lambda: ask(app, UNKNOWN)}
    return asks | {kind: (lambda email=ADDRESSES[kind]: ask(app, email)) for kind in kinds}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "kinds"),
    [
        ("sign-in", ("known", "deactivated", "invited")),
        ("new link", ("known", "deactivated", "invited")),
        ("staff sign-in", ("staff",)),
        ("staff's new link", ("staff",)),
        ("front door", ("known", "invited")),
    ],
)
def test_every_address_takes_as_long(committed_app: Flask, form: str, kinds: tuple[str, ...]) -> None:
    check_times(times_of(committed_app, form, kinds))


@pytest.mark.slow
@pytest.mark.parametrize(("asks_of", "where"), SIGNED_IN)
def test_a_new_address_and_a_code_take_as_long(
    committed_app: Flask, asks_of: Callable[[Flask, str], dict[str, Callable[[], TestResponse]]], where: str
) -> None:
    check_times(asks_of(committed_app, where))


@pytest.mark.slow
def test_an_invitation_takes_as_long(committed_app: Flask) -> None:
    foreign = secret(committed_app, demo.ELM, LinkPurpose.INVITATION)
    at_oak = {}
    for name, text in (("never was", "A" * len(foreign)), ("of another clinic", foreign)):
        visitor = Visitor(committed_app, OAK)
        visitor.get(f"/link/invitation/{text}")
        at_oak[name] = lambda who=visitor: who.get("/link/invitation")
    check_times(at_oak)


@pytest.mark.slow
def test_a_suspended_clinic_takes_as_long(committed_app: Flask) -> None:
    with inside(committed_app, demo.OAK, Role.OPERATOR):
        provisioning.set_status(Status.SUSPENDED)
    never = "q" * len(demo.OAK)
    check_times({
        slug: (lambda at=f"http://{slug}.{BASE}:{PORT}": committed_app.test_client().get("/sign-in", base_url=at))
        for slug in (never, demo.OAK)
    })  # fmt: skip


def test_the_stop_watch_tells_a_millisecond_from_noise() -> None:
    dice = random.Random(1)
    noise, alike = ([dice.gauss(20, 3) for _ in range(PAIRS)] for _ in range(2))
    assert told_apart(noise, alike)[0] <= MOST_MS and told_apart(noise, alike)[1] <= MOST_AUC
    slower = [each + 5 for each in alike]
    assert told_apart(noise, slower)[0] > MOST_MS and told_apart(slower, noise)[1] > MOST_AUC


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "form"), [(plant_a_letter_at_once, "new link"), (plant_no_password_to_look_at, "sign-in")]
)
def test_planted_the_stop_watch_sees_it(
    committed_app: Flask, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None], form: str
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        check_times(times_of(committed_app, form, ("known",)), pairs=60)
