"""Pictures of the main pages, on a phone and on a desktop: `.venv/bin/python -m screenshots.make`.

Starts a demo of its own in a folder that is thrown away, or looks at a running one:
`--base http://localhost:8000 --letters http://127.0.0.1:8025` (there it leaves a batch of invitations behind).
"""

import argparse
import io
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize

from clinic import demo
from tenancy.demo import Demo, Plan
from tests.journeys import chromium
from tests.journeys.running import free_port
from tests.visitor import app_code

HERE = Path(__file__).parent
SHAPES: dict[str, ViewportSize] = {"phone": chromium.PHONE, "desktop": chromium.DESKTOP}
COLOURS = 256


class Place:
    """The addresses of a demo."""

    def __init__(self, base: str, letters: str) -> None:
        self.base = base.rstrip("/")
        self.letters = letters.rstrip("/")

    def portal(self, path: str, slug: str = demo.ELM) -> str:
        parts = urlsplit(self.base)
        return f"{parts.scheme}://{slug}.{parts.netloc}{path}"

    def admin(self, path: str) -> str:
        return self.portal(f"/{demo.ELM}{path}", "admin")


@contextmanager
def a_demo() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="portico-pictures-") as folder:
        data = Path(folder)
        data.chmod(0o711)  # as root, PostgreSQL runs under another account further down
        plan = Plan(free_port(), free_port(), free_port(), data / "demo", fresh=False, server_url=None, stripe_port=free_port())
        plan.data.mkdir(mode=0o711)
        running = Demo(plan)
        try:
            running.start()
            yield Place(f"http://localhost:{plan.port}", f"http://127.0.0.1:{plan.letters_port}")
        finally:
            running.stop()


def take(browser: Browser, place: Place) -> None:
    """All of them, in both shapes. What one shape does to the demo the other finds done, so the order is the same."""
    for name, size in SHAPES.items():
        context = browser.new_context(viewport=size, reduced_motion="reduce")
        context.set_default_timeout(15_000)
        for number, (title, reach) in enumerate(PAGES, start=1):
            page = context.new_page()
            reach(page, place)
            page.wait_for_load_state("networkidle")
            page.mouse.move(0, 0)
            page.evaluate("scrollTo(0, 0)")
            _keep(page.screenshot(), HERE / f"{number:02}-{title}-{name}.png")
            page.close()
        context.close()


def _keep(picture: bytes, path: Path) -> None:
    with Image.open(io.BytesIO(picture)) as full:
        few = full.convert("RGB").quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def find_my_portal(page: Page, place: Place) -> None:
    page.goto(f"{place.base}/")


def invitation(page: Page, place: Place) -> None:
    page.goto(place.letters)
    page.get_by_role("listitem").filter(has_text="grace@").get_by_role("link").first.click()
    link = page.locator("pre a").first.get_attribute("href")
    assert link
    page.goto(link)


def sign_in(page: Page, place: Place) -> None:
    page.goto(place.portal("/sign-in"))


def family_home(page: Page, place: Place) -> None:
    _signed_in(page, place.portal("/"), "maria@family.example")


def documents(page: Page, place: Place) -> None:
    _of_leo(page, place, "Documents")


def billing(page: Page, place: Place) -> None:
    _of_leo(page, place, "Billing")


def pay(page: Page, place: Place) -> None:
    billing(page, place)
    page.get_by_role("main").get_by_role("link", name="Pay", exact=True).click()
    page.get_by_role("button", name="Go on to the payment page").wait_for()


def staff_home(page: Page, place: Place) -> None:
    _signed_in(page, place.admin("/"), "ana@elm.example")


def portal_settings(page: Page, place: Place) -> None:
    page.goto(place.admin("/clinic-options/portal-settings"))


def payment_processing(page: Page, place: Place) -> None:
    page.goto(place.admin("/payment-processing"))


def accounts(page: Page, place: Place) -> None:
    page.goto(place.admin("/accounts"))


def account(page: Page, place: Place) -> None:
    accounts(page, place)
    page.get_by_role("main").get_by_role("link", name="Leo Lopez").click()
    page.get_by_role("heading", level=1, name="Leo Lopez").wait_for()


def invite(page: Page, place: Place) -> None:
    page.goto(place.admin("/invitations/new"))
    for box in page.get_by_role("checkbox", disabled=False).all()[2:5]:
        box.check()


def confirmation(page: Page, place: Place) -> None:
    invite(page, place)
    page.get_by_role("button", name="Invite Patient Contacts to Portal").click()
    page.get_by_role("button", name="Yes, Continue").wait_for()


PAGES: list[tuple[str, Callable[[Page, Place], None]]] = [
    ("find-my-portal", find_my_portal),
    ("invitation", invitation),
    ("sign-in", sign_in),
    ("family-home", family_home),
    ("documents", documents),
    ("billing", billing),
    ("pay", pay),
    ("staff-home", staff_home),
    ("portal-settings", portal_settings),
    ("payment-processing", payment_processing),
    ("accounts", accounts),
    ("account", account),
    ("invite", invite),
    ("confirmation", confirmation),
]


def _of_leo(page: Page, place: Place, part: str) -> None:
    page.goto(place.portal("/"))
    page.get_by_role("main").get_by_role("link", name="Leo Lopez").click()
    page.get_by_role("link", name=part, exact=True).click()
    page.get_by_role("heading", level=1, name=part).wait_for()


def _signed_in(page: Page, address: str, email: str) -> None:
    page.goto(f"{address}sign-in")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(demo.PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    if "//admin." in page.url:
        for steps in (0, 1):  # each code works once, and the second shape comes within half a minute
            if page.url != address:
                page.get_by_label("Six-digit code").fill(app_code(steps=steps))
                page.get_by_role("button", name="Go on").click()
                page.wait_for_load_state()
    page.wait_for_url(address)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m screenshots.make", description=__doc__)
    parser.add_argument("--base", help="of a running demo; without it, one is started for this")
    parser.add_argument("--letters", default="http://127.0.0.1:8025", help="of that demo's letters")
    options = parser.parse_args()
    program = chromium.find()
    if program is None:
        sys.stderr.write("Chromium is not installed (Debian: apt-get install chromium).\n")
        return 1
    with chromium.opened(program) as browser:
        if options.base:
            take(browser, Place(options.base, options.letters))
        else:
            with a_demo() as place:
                take(browser, place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
