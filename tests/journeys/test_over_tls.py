"""A family and a receptionist at the outer door: over TLS and HTTP/2, with the cookies that only a secure host may set.

If this fails, what was tried by machines holds, and people cannot get in; or what a page must not run, runs.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from clinic import demo
from tests.journeys import chromium
from tests.journeys.chromium import DESKTOP, PHONE
from tests.journeys.conftest import program_of_browser, sign_in_at
from tests.outer_door import BASE, Door

pytestmark = pytest.mark.browser

ELM, OAK, ADMIN = (f"https://{name}.{BASE}" for name in (demo.ELM, demo.OAK, "admin"))
PROTOCOL = "performance.getEntriesByType('navigation')[0].nextHopProtocol"
MARKS = """
<p id="canary" style="position: fixed; top: 77px">canary</p>
<style>#canary { left: 66px !important; position: fixed }</style>
<script>window.ran = ["inline"]</script>
<script nonce="made-up">window.ran = ["made up"]</script>
<script src="data:text/javascript,window.ran=['data']"></script>
<script src="https://evil.example/x.js"></script>
<img src="/nowhere" onerror="window.ran = ['handler']">
<svg onload="window.ran = ['svg']"></svg>
<a id="link" href="javascript:window.ran=['link']">x</a>
<iframe srcdoc="<script>parent.ran = ['frame']</script>"></iframe>
<object data="data:text/html,<script>parent.ran=['object']</script>"></object>
<base href="https://evil.example/">
<form id="form" action="https://evil.example/"><button id="send">x</button></form>
"""


@pytest.fixture(scope="module")
def browser(door: Door) -> Iterator[Browser]:
    """Headless Chromium that finds all of the base domain at the door; the port of an address is then TLS's own."""
    with chromium.opened(program_of_browser(), *way_to(door)) as found:
        yield found


def way_to(door: Door) -> tuple[str, ...]:
    hosts = f"MAP *.{BASE}:443 127.0.0.1:{door.port}, MAP {BASE}:443 127.0.0.1:{door.port}"
    return f"--host-resolver-rules={hosts}", "--ignore-certificate-errors"


def cookies_at(context: BrowserContext, url: str) -> list[dict[str, object]]:
    """Without the one by which a device is known again: it says nothing of who is signed in."""
    return [dict(each) for each in context.cookies(url) if "-device" not in str(each.get("name"))]


def test_a_family_signs_in_reads_a_document_and_signs_out(browser: Browser, door: Door, phone: Page) -> None:
    phone.goto(f"{ELM}/")
    expect(phone).to_have_url(f"{ELM}/sign-in")
    assert phone.evaluate(PROTOCOL) == "h2"
    before = cookies_at(phone.context, ELM)
    sign_in_at(door.app, phone, f"{ELM}/", "maria@family.example")
    (cookie,) = cookies_at(phone.context, ELM)
    assert cookie["name"] == "__Host-portico" and cookie["secure"] and cookie["httpOnly"]
    assert (cookie["domain"], cookie["path"], cookie["sameSite"]) == (f"{demo.ELM}.{BASE}", "/", "Lax")
    assert cookie["value"] not in [each["value"] for each in before]
    assert cookies_at(phone.context, OAK) == [] and cookies_at(phone.context, f"https://{BASE}") == []
    assert phone.evaluate("document.cookie") == ""

    phone.get_by_role("main").get_by_role("link", name="Leo Lopez").click()
    phone.get_by_role("link", name="Documents", exact=True).click()
    phone.get_by_role("link", name="Plan of care, autumn").first.click()
    address = phone.get_by_role("link", name="Read it").get_attribute("href")
    read = "async path => { const a = await fetch(path); return [a.status, (await a.text()).slice(0, 5)] }"
    assert phone.evaluate(read, address) == [200, "%PDF-"]

    phone.get_by_text("Menu").click()
    phone.get_by_role("button", name="Sign out").locator("visible=true").click()
    expect(phone.get_by_text("You are signed out.")).to_be_visible()
    assert cookie["value"] not in [each["value"] for each in cookies_at(phone.context, ELM)]
    phone.context.add_cookies([cookie])  # type: ignore[list-item]
    phone.goto(f"{ELM}/")
    expect(phone).to_have_url(f"{ELM}/sign-in")


def test_two_clinics_and_two_doors_stand_side_by_side_on_one_connection(browser: Browser, door: Door, desk: Page) -> None:
    """One certificate covers them, so a browser tries to ask for all on one connection; it is told not to."""
    sign_in_at(door.app, desk, f"{ELM}/", "maria@family.example")
    sign_in_at(door.app, desk, f"{OAK}/", "maria@family.example")
    sign_in_at(door.app, desk, f"{ADMIN}/{demo.ELM}/", "ana@elm.example")
    for address, theirs, others in ((ELM, "Leo Lopez", "Nina"), (OAK, "Nina Lopez", "Leo"), (ELM, "Mia", "Nina")):
        desk.goto(f"{address}/")
        expect(desk.get_by_role("main")).to_contain_text(theirs)
        expect(desk.get_by_role("main")).not_to_contain_text(others)
    names = [each["name"] for each in cookies_at(desk.context, ADMIN)]
    assert len(names) == 1 and str(names[0]).startswith("__Host-portico-")


@contextmanager
def a_marked_page(browser: Browser, door: Door, *more: tuple[str, str]) -> Iterator[tuple[Page, list[str]]]:
    """Somebody signed in, at a door behind which MARKS slipped into every page; and what another host is asked for."""
    marks = MARKS.replace('"', '\\"').replace("\n", "")
    slipped = ("proxy_redirect off;", f"proxy_redirect off;\n    sub_filter '</main>' \"{marks}</main>\";")
    with door.rebuilt(slipped, *more) as marked:
        arguments = [*chromium.QUIET, *way_to(marked)]
        another = browser.browser_type.launch(executable_path=program_of_browser(), args=arguments)
        page = another.new_page(viewport=DESKTOP)
        page.set_default_timeout(15_000)
        asked: list[str] = []
        page.route("https://evil.example/**", lambda route: (asked.append(route.request.url), route.abort())[1])
        sign_in_at(door.app, page, f"{ELM}/", "maria@family.example")
        yield page, asked
        another.close()


def what_ran(page: Page) -> dict[str, object]:
    page.evaluate("document.querySelector('#link').click()")
    page.wait_for_timeout(300)
    return {
        "scripts": page.evaluate("window.ran ?? null"),
        "styles": page.evaluate("getComputedStyle(document.querySelector('#canary')).position"),
        "base": page.evaluate("document.baseURI").startswith(ELM),
    }


def test_what_slipped_into_a_page_does_not_run(browser: Browser, door: Door) -> None:
    """Of somebody signed in, of an error, of an open page; nothing is asked of another host, no form is sent there."""
    with a_marked_page(browser, door) as (page, asked):
        for path in ("/profile", "/nowhere", "/new-link"):
            page.goto(f"{ELM}{path}")
            assert page.evaluate("[...document.scripts].some(one => one.src.endsWith('/portico.js'))")
            assert what_ran(page) == {"scripts": None, "styles": "static", "base": True}, path
        with page.expect_event("console", lambda message: "form-action" in message.text):
            page.evaluate("document.querySelector('#send').click()")
        assert page.url == f"{ELM}/new-link"
        assert not asked


def test_planted_pages_without_their_policy(browser: Browser, door: Door) -> None:
    bare = (
        ("proxy_redirect off;", "proxy_hide_header Content-Security-Policy;\n    proxy_redirect off;"),
        ("add_header Content-Security-Policy $policy always;", ""),
    )
    with a_marked_page(browser, door, *bare) as (page, asked):
        page.goto(f"{ELM}/profile")
        found = what_ran(page)
        assert found["scripts"] and found["styles"] == "fixed" and not found["base"] and asked


def test_a_form_of_a_sibling_clinic_changes_nothing(browser: Browser, door: Door, desk: Page) -> None:
    """Oak Hill's page, with a form for Elm Street in it: the browser itself says where the form comes from."""
    sign_in_at(door.app, desk, f"{ELM}/", "maria@family.example")
    form = (
        f'<!doctype html><form id="f" method="post" action="{ELM}/sign-out"><input name="csrf_token" value="x">'
        '<button id="send">x</button></form>'
    )
    desk.route(f"{OAK}/trap", lambda route: route.fulfill(body=form, content_type="text/html"))
    desk.goto(f"{OAK}/trap")
    with desk.expect_navigation() as sent:
        desk.evaluate("document.querySelector('#send').click()")
    assert sent.value.status == 403
    headers = sent.value.request.all_headers()
    assert headers["origin"] == OAK and "__Host-portico" in headers["cookie"]
    expect(desk.get_by_text("This was not sent from a page of this address.")).to_be_visible()
    desk.goto(f"{ELM}/")
    expect(desk.get_by_role("main")).to_contain_text("Leo Lopez")


def test_planted_cookies_lock_nobody_out(browser: Browser, door: Door, desk: Page) -> None:
    """A sibling plants what no browser should send; the first answer clears it, the second lets the person in."""
    planted = "Domain={base}; Path=/; Secure; Max-Age=100000"
    words = [f"\u00a0__Host-portico=x; {planted}", *(f"c{n}={'x' * 3000}; {planted}" for n in range(12))]

    def plant(route: Route) -> None:
        headers = {"content-type": "text/html", "set-cookie": "\n".join(each.format(base=BASE) for each in words)}
        route.fulfill(body="<!doctype html>planted", headers=headers)

    desk.route(f"{OAK}/trap", plant)
    desk.goto(f"{OAK}/trap")
    assert len(cookies_at(desk.context, ELM)) > 5
    refused = desk.goto(f"{ELM}/sign-in")
    assert refused and refused.status == 431
    expect(desk.get_by_role("heading", level=1)).to_have_text("Your browser sent cookies that are in the way")
    assert cookies_at(desk.context, ELM) == []
    sign_in_at(door.app, desk, f"{ELM}/", "maria@family.example")
    expect(desk.get_by_role("main")).to_contain_text("Leo Lopez")


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_nginxs_own_page_is_a_page(browser: Browser, door: Door, size: dict[str, int]) -> None:
    context = browser.new_context(viewport=size)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_extra_http_headers({"Cookie": "x" * 9_000})
    page.goto(f"{ELM}/sign-in")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).maxWidth") != "none", "its style was refused"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()
