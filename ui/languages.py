"""In which language a page speaks: the signed-in person's own, else the one chosen in this browser, else the browser's.

Staff pages are in English. What a person chose lies on their row; before they sign in, in the browser's cookie.
"""

from urllib.parse import urlencode

from flask import Flask, g, has_request_context, redirect, request, session
from flask_babel import Babel, get_locale, refresh
from werkzeug.wrappers import Response

from tenancy.languages import NAMES, Language
from tenancy.middleware import SITE
from tenancy.sites import Admin
from ui.doors import open_page, safe_next

CHOICE = "language"  # in the cookie
PATH = "/language"


def install(app: Flask, translations: str) -> None:
    Babel(app, default_translation_directories=translations, locale_selector=_asked_for)
    app.jinja_env.globals.update(language=language, other_languages=other_languages, this_page=this_page, change_language_path=PATH)


def current() -> Language:
    """The language this page is answered in."""
    return Language(str(get_locale() or Language.ENGLISH))


def language() -> str:
    """The same, for `<html lang>`; also outside a request."""
    return str(get_locale() or Language.ENGLISH).replace("_", "-")


def speak(known: str) -> None:
    """Answer this request in the signed-in person's language."""
    g.language = known
    refresh()


def suggest(known: str) -> None:
    """Answer in this language unless somebody chose another in this browser: an invitation in the contact's own."""
    if not session.get(CHOICE):
        speak(known)


def choose(known: str) -> None:
    """From now on this browser reads that language, signed in or not."""
    session[CHOICE] = known
    speak(known)


def begin_anew() -> None:
    """Empty this browser's cookie, all but the language it reads."""
    kept = session.get(CHOICE)
    session.clear()
    if kept:
        session[CHOICE] = kept


def other_languages() -> list[tuple[str, str]]:
    """(code, name) of the languages a door can be switched to; none at the staff's door."""
    if _is_at_admin():
        return []
    return [(each.value, NAMES[each]) for each in Language if each != current()]


def this_page() -> str:
    """Where a switch leads back to: this page, and whatever it would have led on to."""
    onward = request.args.get("next")
    return request.path + (f"?{urlencode({'next': onward})}" if onward else "")


@open_page
def change(any_host: str = "") -> Response:
    """`POST` to PATH, on every host: from now on this browser reads that language."""
    if request.form.get("language") in list(Language):
        session[CHOICE] = request.form["language"]
    return redirect(safe_next(request.form.get("next")) or "/", 303)


def _is_at_admin() -> bool:
    return isinstance(request.environ.get(SITE), Admin)


def _asked_for() -> str | None:
    # Refusals are also read on the command line, where nobody's browser says what it reads.
    if not has_request_context():
        return None
    if _is_at_admin():
        return Language.ENGLISH.value
    chosen = g.get("language") or session.get(CHOICE)
    return chosen if chosen in list(Language) else request.accept_languages.best_match([*Language])
