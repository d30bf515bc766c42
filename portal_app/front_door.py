"""The front door, outside every clinic: find my portal, by e-mail. The page answers everybody alike."""

from typing import Any

from flask import Blueprint, Flask, redirect, render_template, url_for
from flask_babel import lazy_gettext as _l

from clinic import front_door
from tenancy import known_devices
from tenancy.errors import Refused
from ui import languages
from ui.doors import open_page
from ui.forms import EmailField, PorticoForm, required


class FindForm(PorticoForm):
    email = EmailField(_l("E-mail address"), [required(_l("Enter your e-mail address."))])


@open_page
def show() -> Any:
    form = FindForm()
    if form.validate_on_submit():
        try:
            front_door.ask(form.email.data, languages.current(), known_devices.caller())
            return redirect(url_for("front_door.asked"), 303)
        except Refused as refusal:
            form.refuse(refusal)
    return render_template("portal/front_door/find.html", form=form), 422 if form.errors else 200


@open_page
def asked() -> str:
    return render_template("portal/front_door/asked.html")


def install(app: Flask) -> None:
    door = Blueprint("front_door", __name__, template_folder="templates")
    door.add_url_rule("/", "find", show, methods=("GET", "POST"))
    door.add_url_rule("/asked", "asked", asked)
    app.register_blueprint(door)
