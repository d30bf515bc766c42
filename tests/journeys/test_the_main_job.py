"""From an empty clinic to a family reading its child's plan of care, as the people concerned do it.

If this fails, a clinic cannot do what it bought Portico for.
"""

import re
from datetime import date, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from clinic import demo, demo_papers
from tests.journeys.chromium import DESKTOP
from tests.journeys.conftest import SignIn, set_up_app
from tests.journeys.running import Running

pytestmark = pytest.mark.browser

WILLOW, NAME = "willow-lane", "Willow Lane Therapy"
WANDA, DESK, PETRA = "wanda@willow.example", "desk@willow.example", "petra@family.example"
WANDAS, PETRAS, PETRAS_AT_OAK = (
    "seven patient grey herons",
    "nine brisk copper kettles",
    "eleven quiet linen sails",
)
CHILD, CHILD_BORN = "Wren Peters", date(2019, 4, 9)
PAUL_BORN = date(2016, 8, 8)


def test_a_new_clinic_brings_a_family_to_its_childs_plan_of_care(
    portico: Running, browser: Browser, desk: Page, phone: Page, sign_in: SignIn
) -> None:
    the_operator_creates_the_clinic(portico)
    its_admin_accepts(portico, desk)
    she_saves_the_portal_settings(portico, browser, desk)
    she_files_a_child(desk)
    she_uploads_and_signs(desk, "Plan of Care", "Plan for spring")
    she_uploads_and_signs(desk, "Daily Note", "What happened on Monday")
    she_invites(portico, desk, WILLOW, "Petra Peters")
    an_answer_would_reach_the_clinic(portico)

    petra_accepts(portico, phone, NAME, CHILD_BORN, PETRAS)
    she_reads_the_plan_and_nothing_hidden(portico, phone)
    she_is_a_stranger_at(portico, phone, demo.OAK)

    sign_in(desk, portico.admin(demo.OAK), "ola@oak.example")
    she_invites(portico, desk, demo.OAK, "Petra Peters")
    petra_accepts(portico, phone, "Oak Hill Pediatrics", PAUL_BORN, PETRAS_AT_OAK)
    both_portals_stand_side_by_side(portico, phone)


def the_operator_creates_the_clinic(portico: Running) -> None:
    told = portico.flask("clinics", "create", "--name", NAME, "--admin-email", WANDA, "--slug", WILLOW)
    assert portico.portal(WILLOW) in told and portico.admin(WILLOW) in told


def its_admin_accepts(portico: Running, desk: Page) -> None:
    desk.goto(portico.link(WANDA, "Set up your sign-in"))
    desk.get_by_label("Your name").fill("Wanda Willow")
    desk.get_by_label("Password").fill(WANDAS)
    desk.get_by_role("button", name="Accept the invitation").click()
    expect(desk.get_by_role("heading", level=1)).to_have_text("Set up an authenticator app")
    set_up_app(desk)
    expect(desk.get_by_role("heading", level=1)).to_have_text("Welcome, Wanda Willow")


def she_saves_the_portal_settings(portico: Running, browser: Browser, desk: Page) -> None:
    follow(desk, "Clinic Options")
    follow(desk, "Edit Patient Portal Settings")
    address = desk.get_by_label("Custom Portal URL")
    address.fill("")
    address.press_sequentially("Willow-Tree")
    expect(desk.locator(".address-preview")).to_have_text(portico.portal("willow-tree", "").rstrip("/"))
    address.fill(WILLOW)
    expect(desk.locator(".address-preview")).to_have_text(portico.portal(WILLOW, "").rstrip("/"))
    desk.get_by_label("Portal Email Reply-To").fill(DESK)
    visible = desk.get_by_role("group", name="Documents Visible on Portal")
    visible.get_by_label("Plan of Care").check()
    visible.get_by_label("Daily Note").uncheck()
    press(desk, "Save Patient Portal Settings")
    expect(desk.get_by_text("The Patient Portal Settings are saved.")).to_be_visible()
    expect(desk.get_by_text("Not confirmed yet")).to_be_visible()

    elsewhere = browser.new_page(viewport=DESKTOP)
    elsewhere.goto(portico.link(DESK, "Confirm this address"))
    press(elsewhere, "Confirm")
    expect(elsewhere.get_by_role("heading", level=1)).to_have_text("Thank you, that is confirmed")
    elsewhere.context.close()
    desk.reload()
    expect(desk.get_by_text("Confirmed", exact=True)).to_be_visible()
    expect(desk.get_by_text("Not confirmed yet")).to_have_count(0)


def she_files_a_child(desk: Page) -> None:
    follow(desk, "Patients")
    desk.get_by_role("link", name="New patient").first.click()
    desk.get_by_label("Name", exact=True).fill(CHILD)
    desk.get_by_label("Birth date").fill(CHILD_BORN.isoformat())
    press(desk, "Add the patient")
    desk.get_by_role("link", name="New contact").first.click()
    desk.get_by_label("Name", exact=True).fill("Petra Peters")
    desk.get_by_label("Relationship to the patient").select_option(label="Parent")
    desk.get_by_label("E-mail").fill(PETRA)
    press(desk, "Add the contact")
    expect(desk.get_by_text("The contact is added.")).to_be_visible()


def she_uploads_and_signs(desk: Page, kind: str, title: str) -> None:
    follow(desk, "Documents")
    desk.get_by_role("link", name="New document").first.click()
    paper = {"name": "paper.pdf", "mimeType": "application/pdf", "buffer": demo_papers.pdf(title, [title])}
    desk.get_by_label("File").set_input_files(paper)  # type: ignore[arg-type]
    desk.get_by_label("Title").fill(title)
    desk.get_by_label("Document type").select_option(label=kind)
    the_clinics_day = date.fromisoformat(desk.get_by_label("Date").input_value())
    desk.get_by_label("Date").fill((the_clinics_day - timedelta(days=1)).isoformat())
    press(desk, "File as a draft")
    press(desk, "Sign")
    expect(desk.get_by_text("The document is signed.")).to_be_visible()


def she_invites(portico: Running, desk: Page, slug: str, contact: str) -> None:
    follow(desk, "Portal Users")
    desk.get_by_role("link", name="Invite Patient Contacts").click()
    desk.get_by_label(contact).check()
    press(desk, "Invite Patient Contacts to Portal")
    expect(desk.get_by_role("heading", level=1)).to_have_text("Please read before you continue")
    expect(desk.get_by_text("invite only people who are authorised")).to_be_visible()
    press(desk, "Yes, Continue")
    expect(desk.get_by_role("heading", level=1)).to_have_text("What became of the invitations")
    expect(desk.get_by_text("Done. The letters are on their way.")).to_be_visible()
    assert desk.url.startswith(portico.admin(slug, "/invitations/"))


def an_answer_would_reach_the_clinic(portico: Running) -> None:
    letter = portico.letter(PETRA, f"You are invited to {NAME}")
    assert f"Reply-To: {DESK}".encode() in portico.mailbox.source(letter.name)


def petra_accepts(portico: Running, phone: Page, clinic: str, born: date, password: str) -> None:
    letter = portico.letter(PETRA, f"You are invited to {clinic}")
    for name in (CHILD, "Paul"):
        assert name not in letter.text + letter.subject + letter.html, "a letter names no patient"
    phone.goto(portico.link(PETRA, f"You are invited to {clinic}"))
    phone.get_by_label("Birth date of the patient").fill((born + timedelta(days=1)).isoformat())
    phone.get_by_label("Choose a password").fill(password)
    press(phone, "Set up my portal")
    expect(phone.get_by_role("alert")).to_contain_text("This is not the birth date the clinic has.")
    phone.get_by_label("Birth date of the patient").fill(born.isoformat())
    phone.get_by_label("Choose a password").fill(password)
    press(phone, "Set up my portal")
    expect(phone.get_by_text("Welcome! Your portal is ready.")).to_be_visible()


def she_reads_the_plan_and_nothing_hidden(portico: Running, phone: Page) -> None:
    phone.get_by_role("main").get_by_role("link", name=CHILD).click()
    phone.get_by_role("link", name="Documents", exact=True).click()
    expect(phone.get_by_text("Plan for spring")).to_be_visible()
    expect(phone.get_by_text("What happened on Monday")).to_have_count(0)
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    phone.get_by_role("link", name="Plan for spring").click()
    address = phone.get_by_role("link", name="Read it").get_attribute("href")
    got = phone.evaluate(
        "async path => { const a = await fetch(path); return [a.status, (await a.text()).slice(0, 5)] }", address
    )
    assert got == [200, "%PDF-"]


def she_is_a_stranger_at(portico: Running, phone: Page, slug: str) -> None:
    phone.goto(portico.portal(slug))
    expect(phone).to_have_url(re.compile(re.escape(portico.portal(slug, "/sign-in"))))
    phone.get_by_label("E-mail address").fill(PETRA)
    phone.get_by_label("Password").fill(PETRAS)
    press(phone, "Sign in")
    expect(phone.get_by_role("alert")).to_be_visible()
    expect(phone).to_have_url(re.compile("/sign-in"))


def both_portals_stand_side_by_side(portico: Running, phone: Page) -> None:
    expect(phone.get_by_role("main")).to_contain_text("Paul Peters")
    expect(phone.get_by_text(CHILD)).to_have_count(0)
    phone.goto(portico.portal(WILLOW))
    expect(phone.get_by_role("main")).to_contain_text(CHILD)
    expect(phone.get_by_text("Paul Peters")).to_have_count(0)
    phone.goto(portico.portal(WILLOW, "/profile"))
    phone.get_by_text("Menu").click()
    press(phone, "Sign out")
    phone.get_by_label("E-mail address").fill(PETRA)
    phone.get_by_label("Password").fill(PETRAS_AT_OAK)
    press(phone, "Sign in")
    expect(phone.get_by_role("alert")).to_be_visible()


def follow(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).first.click()


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).locator("visible=true").click()
