"""The staff's start page and who sees which menu."""

from tests.visitor import Visitor


def test_an_admin_sees_the_set_up(ana: Visitor) -> None:
    assert "Clinic Options" in ana.read("/elm-street/")


def test_without_the_admin_permission_there_is_no_menu_and_no_page(ben: Visitor) -> None:
    assert "Clinic Options" not in ben.read("/elm-street/")
    assert ben.get("/elm-street/clinic-options").status_code == 403
