"""T38: an address, once a clinic's, is that clinic's for good; it redirects, carries nothing along, and ends old sessions.

Lost if it fails: somebody takes over a clinic's former name and receives its families' letters, sign-ins and cookies;
or two clinics are founded under one name and one family finds the other's portal.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any
from uuid import UUID

import click
import psycopg
import pytest
from flask import Flask
from sqlalchemy import func, select

from clinic import actors, cli, demo, portal_settings, staff
from tenancy import clinics, provisioning, slugs
from tenancy.clinics import ClinicAddress, ClinicEntry
from tenancy.database import db, transaction
from tenancy.errors import Refused
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.conftest import BASE, PORT
from tests.inside import inside, path_of, send_link
from tests.visitor import Visitor, compared

OLD, SECOND, THIRD = demo.ELM, "elm-lane", "elm-park"


def host(slug: str) -> str:
    return f"http://{slug}.{BASE}:{PORT}"


def rename(app: Flask, now: str, to: str) -> None:
    with inside(app, now):
        portal_settings.rename_portal(to)



def check_old_name_redirects(app: Flask) -> None:
    rename(app, OLD, SECOND)
    secret = send_link(app, SECOND, Purpose.PASSWORD_RESET)
    visitor = Visitor(app, host(OLD))
    for path, onward in (
        ("/", "/"),
        ("/sign-in?next=/profile&token=abc", "/sign-in"),
        (f"/link/password-reset/{secret}", "/link/password-reset"),
        ("/patients/x y/%C3%A9", "/patients/x%20y/%C3%A9"),
        ("/%0d%0aSet-Cookie:a=b", "/%0D%0ASet-Cookie%3Aa%3Db"),
    ):
        for ask in (visitor.get, visitor.head):
            answer = ask(path)
            assert answer.status_code == 301, path
            assert answer.headers["Location"] == host(SECOND) + onward
            assert "Set-Cookie" not in answer.headers
            assert secret not in answer.text
            assert answer.headers["Referrer-Policy"] == "no-referrer"
    doubled = visitor.get("/x", environ_overrides={"PATH_INFO": "//evil.test/x"})
    assert doubled.status_code == 404 and "Location" not in doubled.headers
    for method in ("post", "put", "patch", "delete", "options"):
        answer = getattr(visitor.client, method)("/sign-in", base_url=host(OLD))
        assert answer.status_code in (400, 403, 404, 405), method
        assert "Location" not in answer.headers
    staff_page = Visitor(app, f"http://admin.{BASE}:{PORT}").get(f"/{OLD}/patients?q=lopez")
    assert staff_page.headers["Location"] == f"http://admin.{BASE}:{PORT}/{SECOND}/patients"


def test_an_old_address_leads_to_the_new_one_and_carries_nothing_along(app: Flask) -> None:
    """A bookmark keeps working; a secret or a form sent to the old name goes nowhere."""
    check_old_name_redirects(app)


def test_planted_a_redirect_that_keeps_the_secret(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenancy.sites.path_without_secret", lambda path: path)
    with pytest.raises(AssertionError):
        check_old_name_redirects(app)


def test_chains_are_collapsed(app: Flask) -> None:
    """The oldest letterhead still leads home, in one step."""
    rename(app, OLD, SECOND)
    rename(app, SECOND, THIRD)
    for name in (OLD, SECOND):
        assert Visitor(app, host(name)).get("/sign-in").headers["Location"] == f"{host(THIRD)}/sign-in"
    rename(app, THIRD, OLD)  # taken back
    assert Visitor(app, host(OLD)).get("/sign-in").status_code == 200
    for name in (SECOND, THIRD):
        assert Visitor(app, host(name)).get("/sign-in").headers["Location"] == f"{host(OLD)}/sign-in"


def test_a_suspended_clinic_and_one_that_never_was_look_the_same(app: Flask) -> None:
    rename(app, OLD, SECOND)
    with inside(app, SECOND, Role.OPERATOR):
        provisioning.set_status(clinics.Status.SUSPENDED)
    answers = {(a.status_code, compared(a.text)) for a in (Visitor(app, host(n)).get("/sign-in") for n in (OLD, SECOND, "nowhere"))}
    assert len(answers) == 1
    assert answers.pop()[0] == 404


def taken(app: Flask, slug: str) -> bool:
    """Whether Oak Hill is refused this address, as its staff and as an operator."""
    refused = []
    for role in (Role.STAFF, Role.OPERATOR):
        try:
            with inside(app, demo.OAK, role):
                provisioning.rename(slug)
                raise InterruptedError  # not kept
        except Refused as refusal:
            refused.append(str(refusal.message))
        except InterruptedError:
            pass
    assert not refused or refused == [str(provisioning.TAKEN)] * 2
    return bool(refused)


def check_nobody_else_takes_it(app: Flask) -> None:
    rename(app, OLD, SECOND)
    assert taken(app, SECOND)
    assert taken(app, OLD)
    assert not taken(app, "free-name")
    rename(app, SECOND, OLD)  # the same clinic may
    assert taken(app, SECOND)


def test_nobody_else_can_ever_take_a_clinics_former_name(app: Flask) -> None:
    check_nobody_else_takes_it(app)


def test_planted_a_former_name_that_is_forgotten(committed_app: Flask, administrator: psycopg.Connection[Any]) -> None:
    administrator.execute(
        "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS "
        "$$ BEGIN DELETE FROM clinic_addresses WHERE retired_at IS NOT NULL; RETURN NULL; END $$; "
        "CREATE TRIGGER forget AFTER INSERT ON clinic_addresses FOR EACH ROW EXECUTE FUNCTION forget()"
    )
    with pytest.raises(AssertionError):
        check_nobody_else_takes_it(committed_app)


def check_sessions_and_links_end(app: Flask) -> None:
    maria = Visitor(app, host(OLD)).sign_in("maria@family.example")
    ana = Visitor(app, f"http://admin.{BASE}:{PORT}").sign_in("ana@elm.example", f"/{OLD}")
    secret = send_link(app, OLD, Purpose.PASSWORD_RESET)
    rename(app, OLD, SECOND)
    assert maria.get("/").status_code == 301
    assert maria.at(host(SECOND)).get("/").headers.get("Location", "").startswith("/sign-in")
    late = Visitor(app, host(SECOND))
    late.get(path_of(SECOND, Purpose.PASSWORD_RESET, secret))
    assert late.get("/link/password-reset").status_code == 410
    assert ana.get(f"/{SECOND}/").status_code == 200  # staff keep working: their host is the same


def test_portal_sessions_and_mailed_links_end_with_the_address(app: Flask) -> None:
    check_sessions_and_links_end(app)


@pytest.mark.parametrize("guard", ["sessions.end_all_on_portal", "mailed_links.withdraw_all_in_clinic"])
def test_planted_a_rename_that_ends_nothing(app: Flask, monkeypatch: pytest.MonkeyPatch, guard: str) -> None:
    monkeypatch.setattr(f"clinic.{guard}", lambda *reason: None)
    with pytest.raises(AssertionError):
        check_sessions_and_links_end(app)


NO_NAMES = (
    "", "a", "ab", "a" * 41, "a" * 64, "-elm", "elm-", "elm--street", "-", "---", "xn--elm", "xn--80ak6aa92e", "Elm-Street", "ELM",
    "elm_street", "elm.street", "elm street", " elm", "elm ", "elm\n", "elm\x00", "elm/", "elm@evil", "елм-street", "еlm-street",
    "élm-street", "elm\u2010street", "elm\u200bstreet", "ｅｌｍ", "١٢٣", "ss\u00df", "*", "elm*",
)  # fmt: skip
NAMES = ("elm", "abc", "123", "4kids", "a-b", "a-b-c", "mytherapyclinic", "a" * 40, "elm-street-2")


def check_names(app: Flask) -> None:
    for slug in NO_NAMES:
        with pytest.raises(Refused):
            provisioning.check_slug(slug)
    for slug in NAMES:
        provisioning.check_slug(slug)
    for word in slugs.RESERVED:
        for form in ("{}", "{}s", "{}es"):
            with pytest.raises(Refused):
                provisioning.check_slug(form.format(word))
            assert not slugs.may_be_taken(form.format(word))
    for name in (*slugs.RESERVED, *NO_NAMES):
        # A name with a blank or a slash is not even a host; the rest reach the application and find nothing there.
        if name.isascii() and name.replace("-", "").isalnum() and len(name) < 64 and name.lower() not in ("admin", demo.ELM):
            assert Visitor(app, host(name)).get("/").status_code == 404, name


def test_reserved_words_their_plurals_and_look_alikes_are_nobodys(app: Flask) -> None:
    """`login.<base>` or a Cyrillic `elm` in a stranger's hands would be a trap for every family."""
    check_names(app)


def test_planted_a_grammar_that_takes_a_double_hyphen(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slugs, "has_grammar", lambda slug: 3 <= len(slug) <= 40)
    monkeypatch.setattr(provisioning, "has_grammar", slugs.has_grammar)
    with pytest.raises(pytest.fail.Exception):
        check_names(app)


def test_planted_plurals_for_sale(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisioning, "is_reserved", lambda slug: slug in slugs.RESERVED)
    with pytest.raises(pytest.fail.Exception):
        check_names(app)




def create(app: Flask, name: str, slug: str = "birch-road", email: str = "bo@birch.example") -> None:
    with app.app_context(), click.Context(cli.create):
        cli.create.callback(name=name, admin_email=email, slug=slug, plan="core", time_zone="America/New_York")  # type: ignore[misc]


def check_one_of_two_operators_wins(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    meet = Barrier(2)
    found_before = provisioning.create

    def together(**options: Any) -> Any:
        meet.wait(10)
        return found_before(**options)

    monkeypatch.setattr(provisioning, "create", together)
    with ThreadPoolExecutor(2) as pool:
        outcomes = [pool.submit(create, app, name) for name in ("Birch Road One", "Birch Road Two")]
        failures = [str(each.exception()) for each in outcomes if each.exception()]
    assert failures == [str(provisioning.TAKEN)]
    assert len(addresses_of(app, "birch-road")) == 1


def addresses_of(app: Flask, slug: str) -> list[UUID]:
    with app.app_context(), transaction():
        return list(db.session.scalars(select(ClinicAddress.clinic_id).where(ClinicAddress.slug == slug)))


def test_two_operators_at_once_one_wins_and_the_other_is_told(committed_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    check_one_of_two_operators_wins(committed_app, monkeypatch)


def test_planted_addresses_that_are_not_unique(
    committed_app: Flask, administrator: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    administrator.execute("ALTER TABLE clinic_addresses DROP CONSTRAINT pk_clinic_addresses")
    with pytest.raises(AssertionError):
        check_one_of_two_operators_wins(committed_app, monkeypatch)


def standing(app: Flask) -> int:
    with app.app_context(), transaction():
        return db.session.scalars(select(func.count()).select_from(clinics.Clinic)).one()


def check_all_or_nothing(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    before = standing(app)
    with monkeypatch.context() as broken:
        broken.setattr(staff, "invite", lambda **options: 1 / 0)  # the very last step
        with pytest.raises(ZeroDivisionError):
            create(app, "Birch Road")
    assert standing(app) == before
    assert addresses_of(app, "birch-road") == []
    with pytest.raises(click.ClickException):
        create(app, "Birch Road", email="not an address")
    assert standing(app) == before
    create(app, "Birch Road")
    assert standing(app) == before + 1
    create(app, "Birch Road")  # the same again changes nothing
    assert standing(app) == before + 1
    with pytest.raises(click.ClickException, match="not available"):
        create(app, "Another Birch Road")
    told = app.test_cli_runner().invoke(args=["clinics", "rename", "birch-road", "admin"])
    assert (told.exit_code, told.output) == (1, f"Error: {provisioning.RESERVED}\n")


def test_founding_a_clinic_is_all_or_nothing_and_repeatable(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    check_all_or_nothing(app, monkeypatch)


def test_planted_founding_in_two_steps(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def keeps_the_half(clinic: ClinicEntry | UUID) -> Iterator[None]:
        failure = None
        with actors.acting(cli.operator()), clinics.open_clinic(clinic, Role.OPERATOR), transaction():
            try:
                yield
            except (ZeroDivisionError, Refused) as error:
                failure = error
        if failure:
            raise failure

    monkeypatch.setattr(cli, "inside", keeps_the_half)
    with pytest.raises(AssertionError):
        check_all_or_nothing(app, monkeypatch)
