"""Passkeys as people use them: a real browser, with a device that recognises its owner.

Lost if it fails: the button does nothing, and whoever threw their password away stands before a closed door.
"""

import re
from dataclasses import dataclass

import pytest
from playwright.sync_api import CDPSession, Page, expect

from clinic import demo
from tenancy.link_tokens import Purpose
from tests.journeys import stage
from tests.journeys.conftest import SignIn
from tests.journeys.running import Running

pytestmark = pytest.mark.browser

MARIA = "maria@family.example"
DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@dataclass
class Finger:
    """What stands in for the device in a phone: recognises its owner, unless told otherwise, and keeps their passkeys."""

    session: CDPSession
    device: str

    def is_known(self, it_is: bool) -> None:
        self.session.send("WebAuthn.setUserVerified", {"authenticatorId": self.device, "isUserVerified": it_is})

    def passkeys(self) -> int:
        return len(self.session.send("WebAuthn.getCredentials", {"authenticatorId": self.device})["credentials"])


@pytest.fixture
def pocket(phone: Page) -> Page:
    return phone


@pytest.fixture(autouse=True)
def finger(pocket: Page) -> Finger:
    session = pocket.context.new_cdp_session(pocket)
    session.send("WebAuthn.enable")
    return Finger(session, session.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})["authenticatorId"])


def sign_out(page: Page) -> None:
    page.get_by_text("Menu", exact=True).click()
    page.get_by_role("button", name="Sign out").last.click()
    page.wait_for_url(re.compile("sign-in"))


def test_a_mother_sets_one_up_and_signs_in_with_it(portico: Running, pocket: Page, sign_in: SignIn) -> None:
    home = portico.portal(demo.ELM)
    sign_in(pocket, home, MARIA)
    pocket.goto(f"{home}profile")
    pocket.get_by_role("link", name="Second factor").click()
    pocket.get_by_role("link", name="Add a passkey").click()
    pocket.get_by_label("Name of this passkey").fill("My phone")
    pocket.get_by_role("button", name="Set up a passkey").click()
    expect(pocket.get_by_role("heading", name="Your passkey is set up")).to_be_visible()
    expect(pocket.locator(".codes li")).to_have_count(10)
    pocket.get_by_role("link", name="I have kept them").click()
    sign_out(pocket)
    pocket.get_by_role("button", name="Sign in with a passkey").click()
    pocket.wait_for_url(home)
    pocket.goto(f"{home}profile/sessions")
    expect(pocket.get_by_text("This one", exact=True)).to_be_visible()

    # And as the second step, after the password.
    sign_out(pocket)
    pocket.get_by_label("E-mail").fill(MARIA)
    pocket.get_by_label("Password").fill(demo.PASSWORD)
    pocket.get_by_role("button", name="Sign in", exact=True).click()
    pocket.get_by_role("button", name="Use a passkey").click()
    pocket.wait_for_url(home)


def test_a_finger_that_the_device_does_not_know_opens_nothing(
    portico: Running, pocket: Page, finger: Finger, sign_in: SignIn
) -> None:
    home = portico.portal(demo.ELM)
    sign_in(pocket, home, "omar@family.example")
    pocket.goto(f"{home}profile/passkeys/new")
    pocket.get_by_label("Name of this passkey").fill("My phone")
    pocket.get_by_role("button", name="Set up a passkey").click()
    pocket.get_by_role("link", name="I have kept them").click()
    sign_out(pocket)
    finger.is_known(False)
    pocket.get_by_role("button", name="Sign in with a passkey").click()
    expect(pocket.get_by_text("That did not work. Try once more, or use another way.")).to_be_visible()
    pocket.goto(home)
    pocket.wait_for_url(re.compile("sign-in"))


def test_without_a_passkey_the_button_says_so_and_the_page_stays(portico: Running, pocket: Page) -> None:
    pocket.goto(portico.portal(demo.ELM, "/sign-in"))
    pocket.get_by_label("E-mail").fill(MARIA)
    pocket.get_by_role("button", name="Sign in with a passkey").click()
    expect(pocket.get_by_text("That did not work. Try once more, or use another way.")).to_be_visible()
    expect(pocket.get_by_label("E-mail")).to_have_value(MARIA)


def test_without_scripts_there_is_no_such_button(portico: Running, plain: Page) -> None:
    for address in (portico.portal(demo.ELM, "/sign-in"), portico.admin(demo.ELM, "/sign-in")):
        plain.goto(address)
        expect(plain.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
        expect(plain.get_by_role("button", name="Sign in with a passkey")).to_have_count(0)


def test_a_new_member_of_the_staff_needs_nothing_but_a_passkey(portico: Running, pocket: Page) -> None:
    """Invited, with a password for the letter's sake, the passkey as factor, recovery codes; then by passkey alone."""
    home = portico.admin(demo.ELM)
    pocket.goto(stage.link(portico, Purpose.STAFF_INVITATION))
    pocket.get_by_label("Your name").fill("Nora New")
    pocket.get_by_label("Password").fill("eleven quiet green lamps")
    pocket.get_by_role("button", name="Accept the invitation").click()
    pocket.get_by_role("link", name="Use a passkey instead").click()
    pocket.get_by_label("Name of this passkey").fill("Tablet at the desk")
    pocket.get_by_role("button", name="Set up a passkey").click()
    expect(pocket.locator(".codes li")).to_have_count(10)
    code = pocket.locator(".codes li").first.inner_text()
    pocket.get_by_role("link", name="I have kept them").click()
    pocket.wait_for_url(home)
    sign_out(pocket)
    pocket.get_by_role("button", name="Sign in with a passkey").click()
    pocket.wait_for_url(home)
    expect(pocket.get_by_role("heading", name="Nora")).to_be_visible()

    # Without the device: password and a recovery code.
    sign_out(pocket)
    pocket.get_by_label("E-mail").fill("nora@elm.example")
    pocket.get_by_label("Password").fill("eleven quiet green lamps")
    pocket.get_by_role("button", name="Sign in", exact=True).click()
    pocket.get_by_role("link", name="Use a recovery code instead").click()
    pocket.get_by_label("Recovery code").fill(code)
    pocket.get_by_role("button", name="Go on").click()
    pocket.wait_for_url(home)


def test_the_staffs_passkeys_of_two_clinics_live_side_by_side(
    portico: Running, pocket: Page, finger: Finger, sign_in: SignIn
) -> None:
    """One host for all clinics: the device keeps both, and each opens its own clinic only."""
    for slug, email in ((demo.ELM, "ana@elm.example"), (demo.OAK, "ola@oak.example")):
        home = portico.admin(slug)
        sign_in(pocket, home, email)
        pocket.goto(f"{home}profile/passkeys/new")
        pocket.get_by_label("Name of this passkey").fill("A tablet")
        pocket.get_by_role("button", name="Set up a passkey").click()
        expect(pocket.get_by_text("Your passkey is set up")).to_be_visible()
        if slug == demo.ELM:
            pocket.goto(home)
            sign_out(pocket)
            pocket.get_by_role("button", name="Sign in with a passkey").click()
            pocket.wait_for_url(home)
    assert finger.passkeys() == 2
