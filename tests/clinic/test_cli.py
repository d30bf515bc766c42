"""What operators read when they provision clinics."""

from flask import Flask


def _clinics(app: Flask, *arguments: str) -> str:
    run = app.test_cli_runner().invoke(args=["clinics", *arguments])
    assert run.exit_code == 0, run.output
    return run.output


def test_an_operator_is_warned_of_an_address_that_looks_like_anothers(app: Flask) -> None:
    """Lost if it fails: a family signs in at the wrong clinic's portal and leaves its password there."""
    said = _clinics(app, "create", "--name", "Elm Stret", "--slug", "elm-stret", "--admin-email", "eve@evil.example")
    assert "one letter from elm-street" in said


def test_an_operator_is_not_warned_of_nothing(app: Flask) -> None:
    said = _clinics(app, "create", "--name", "Ash Lane", "--slug", "ash-lane", "--admin-email", "amy@ash.example")
    assert "Mind" not in said


def test_a_clinic_is_shown_without_any_patient(app: Flask) -> None:
    said = _clinics(app, "show", "elm-street")
    assert "Elm Street Therapy" in said and "Lopez" not in said
