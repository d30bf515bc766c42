"""The pages of Stripe's that a person meets: Checkout, the bank's question, onboarding, and a dashboard for the demo.

Plain pages of our own that say what they stand in for. Everything their buttons do can be told by `client`, too.
"""

import re
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, abort, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from tests.stripe_fake import accounts, ledger, methods, paying, payments, reversals
from tests.stripe_fake.api import world_of_app
from tests.stripe_fake.errors import StripeError
from tests.stripe_fake.world import PLATFORM, Thing, World

pages = Blueprint("pages", __name__, template_folder="templates", static_folder="static", static_url_path="/static")
TEST_CARDS = [
    ("4242424242424242", "Card is accepted"),
    ("4000002500003155", "The bank asks first (3-D Secure)"),
    ("4000000000000002", "Card is declined"),
    ("4000000000009995", "Too little money on the account"),
    ("4000000000000341", "Card is accepted now, declined when charged later"),
]


@pages.app_context_processor
def words() -> dict[str, Any]:
    return {"shown": ledger.shown, "spaced": lambda number: re.sub(r"(?<=\d)(?=(?:\d{4})+$)", " ", number)}


@pages.after_request
def fence(response: Response) -> Response:
    # form-action would also hold the redirect back to the merchant, wherever that is.
    response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    response.headers["Cache-Control"] = "no-store"
    return response


@pages.get("/")
def front() -> str:
    world = world_of_app()
    with world.acting():
        found = [(each, accounts.name_of(world, each["id"])) for each in world.things("account", PLATFORM).values()]
    return render_template("stripe/front.html", accounts=found)


# Checkout


@pages.route("/c/pay/<session_id>", methods=["GET", "POST"])
def checkout(session_id: str) -> AnyResponse | tuple[str, int] | str:
    world = world_of_app()
    with world.acting():
        try:
            account, session = paying.open_session(world, session_id)
        except StripeError as closed:
            return _ended(world, session_id, closed)
        if request.method == "GET":
            return _checkout_page(world, account, session)
        try:
            if _paid(world, session_id) == "3ds":
                return redirect(f"/c/pay/{session_id}/bank", 303)
        except StripeError as refused:
            return _checkout_page(world, account, session, str(refused)), 402
        return redirect(_way_back(session), 303)


def _paid(world: World, session_id: str) -> str:
    chosen, save = request.form.get("with", ""), "save" in request.form
    if chosen == "bank_debit":
        paying.by_debit(world, session_id, save)
    elif chosen.startswith("pm_"):
        paying.by_saved(world, session_id, chosen)
    else:
        return paying.by_card(world, session_id, re.sub(r"\s", "", request.form.get("number") or chosen), save)
    return "complete"


def _checkout_page(world: World, account: str, session: Thing, refused: str = "") -> str:
    known = world.hidden(session["id"])
    return render_template(
        "stripe/checkout.html", session=session, merchant=accounts.name_of(world, account), items=known["items"], saves=known["save"],
        saved=paying.saved_cards(world, account, session) if session["mode"] == "payment" else [], cards=TEST_CARDS, refused=refused,
        debit=methods.DEBITS.get(session["currency"]) in session["payment_method_types"], chosen=request.form.get("with"),
    )  # fmt: skip


def _way_back(session: Thing) -> str:
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _ended(world: World, session_id: str, closed: StripeError) -> tuple[str, int]:
    """Paid, expired, unknown, or of an account that takes no payment now."""
    session: Thing | None = None
    if closed.answer["error"].get("code") != "resource_missing":
        session = world.get("checkout.session", world.owner("checkout.session", session_id), session_id)
    back = session and (_way_back(session) if session["status"] == "complete" else session["cancel_url"])
    page = render_template("stripe/ended.html", session=session, back=back)
    return page, 404 if session is None else 200 if session["status"] == "complete" else 410


@pages.route("/c/pay/<session_id>/bank", methods=["GET", "POST"])
def bank(session_id: str) -> AnyResponse | tuple[str, int] | str:
    """3-D Secure: the payer's bank asks whether it is really them."""
    world = world_of_app()
    with world.acting():
        try:
            account, session = paying.open_session(world, session_id)
        except StripeError as closed:
            return _ended(world, session_id, closed)
        if "asked" not in world.hidden(session_id):
            return redirect(f"/c/pay/{session_id}", 303)
        if request.method == "GET":
            return render_template("stripe/bank.html", session=session, merchant=accounts.name_of(world, account))
        try:
            paying.answer_bank(world, session_id, request.form.get("answer") == "complete")
        except StripeError as refused:
            return _checkout_page(world, account, session, str(refused)), 402
        return redirect(_way_back(session), 303)


# Onboarding


@pages.route("/setup/s/<account>/<token>", methods=["GET", "POST"])
def onboarding(account: str, token: str) -> AnyResponse | tuple[str, int] | str:
    """Opened once, within minutes; the page itself may be sent once. Else it is for the platform to give another."""
    world = world_of_app()
    with world.acting():
        link = world.state["links"].get(token)
        if link is None or link["account"] != account or not world.is_open(account):
            return render_template("stripe/ended.html", session=None, back=None), 404
        used = link["done"] if request.method == "POST" else link["opened"] or world.now() >= link["expires_at"]
        if used:
            return redirect(link["refresh_url"] or "/", 303)
        if request.method == "GET":
            link["opened"] = True
            return render_template("stripe/onboarding.html", account=world.get("account", PLATFORM, account), merchant=accounts.name_of(world, account))
        link["done"] = True
        told = request.form.get("told")
        if told in ("everything", "nearly"):
            accounts.onboard(world, account, everything=told == "everything")
        return redirect(link["return_url"] or "/", 303)


# Dashboard


def _amount(thing: Thing) -> int | None:
    """What was typed, in minor units; None for the whole."""
    typed = request.form.get("amount", "").strip()
    return ledger.minor_of(typed, thing["currency"]) if typed else None


def _refund(world: World, account: str, id_: str) -> None:
    charge = reversals.charge_of(world, account, id_)
    reversals.refund(world, account, charge, _amount(charge))


def _dispute(world: World, account: str, id_: str, inquiry: bool) -> None:
    reversals.dispute(world, account, reversals.charge_of(world, account, id_), inquiry=inquiry)


BUTTONS: dict[str, Callable[[World, str, str], Any]] = {
    "refund": _refund,
    "inquire": lambda world, account, id_: _dispute(world, account, id_, inquiry=True),
    "dispute": lambda world, account, id_: _dispute(world, account, id_, inquiry=False),
    "win": lambda world, account, id_: reversals.close_dispute(world, account, id_, "won"),
    "lose": lambda world, account, id_: reversals.close_dispute(world, account, id_, "lost"),
    "close": lambda world, account, id_: reversals.close_dispute(world, account, id_, "warning_closed"),
    "settle": lambda world, account, id_: payments.settle(world, account, id_, ok=True),
    "bounce": lambda world, account, id_: payments.settle(world, account, id_, ok=False),
    "settle-refund": reversals.settle_refund,
    "fail-refund": reversals.fail_refund,
    "onboard": lambda world, account, id_: accounts.onboard(world, account),
    "restrict": lambda world, account, id_: accounts.restrict(world, account),
    "deauthorise": lambda world, account, id_: accounts.deauthorise(world, account),
}


@pages.route("/dashboard/<account>", methods=["GET", "POST"])
def dashboard(account: str) -> AnyResponse | tuple[str, int] | str:
    world = world_of_app()
    with world.acting():
        thing = world.get("account", PLATFORM, account)
        if request.method == "GET":
            return _dashboard_page(world, thing)
        try:
            BUTTONS[request.form.get("do") or abort(400)](world, account, request.form.get("id", ""))
        except StripeError as refused:
            return _dashboard_page(world, thing, str(refused)), 422
        return redirect(f"/dashboard/{account}", 303)


def _dashboard_page(world: World, account: Thing, refused: str = "") -> str:
    id_ = account["id"]
    kinds = ("refund", "dispute", "charge")
    return render_template(
        "stripe/dashboard.html", account=account, merchant=accounts.name_of(world, id_), is_open=world.is_open(id_), refused=refused,
        payments=list(reversed(world.things("payment_intent", id_).values())), figures=ledger.figures(world, id_),
        **{f"{kind}s": list(world.things(kind, id_).values()) for kind in kinds},
    )  # fmt: skip


@pages.app_errorhandler(StripeError)
def refused(error: StripeError) -> tuple[str, int]:
    return render_template("stripe/ended.html", session=None, back=None), error.status
