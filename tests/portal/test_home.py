"""The family's start page."""

from tests.visitor import Visitor


def test_a_mother_finds_both_children_and_nobody_elses(maria: Visitor) -> None:
    page = maria.read("/")
    assert "Leo" in page and "Mia" in page
    assert "Zoe" not in page and "Nina" not in page


def test_a_stranger_is_asked_to_sign_in(portal: Visitor) -> None:
    answer = portal.get("/")
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/sign-in")
