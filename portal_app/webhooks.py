"""Where Stripe tells us what happened: at the front door, because it names an account and not a clinic.

Whoever sends here is believed by the signature alone, and is answered as soon as the event is kept.
"""

from flask import Blueprint, Flask, Response, current_app, request
from werkzeug.exceptions import RequestEntityTooLarge

from clinic import stripe_events, stripe_gateway
from clinic.stripe_gateway import BadSignature
from tenancy.settings import Settings
from ui.body_sizes import MOST_OF_A_FORM
from ui.doors import open_page
from ui.machines import machine_route


@open_page
@machine_route
def stripe() -> Response:
    known: Settings = current_app.config["PORTICO"]
    try:
        if known.stripe_webhook_secret is None:
            raise BadSignature("not_connected")
        signature = request.headers.get("Stripe-Signature", "")
        body = request.get_data()
        if len(body) >= MOST_OF_A_FORM:  # one that said no length was cut off here
            raise RequestEntityTooLarge
        event = stripe_gateway.verified(body, signature, known.stripe_webhook_secret)
    except BadSignature as bad:
        stripe_events.refuse(bad.reason)
        return Response("Not signed by Stripe, or not now.\n", 400, mimetype="text/plain")
    except RequestEntityTooLarge:
        stripe_events.refuse("too_large")
        return Response("Too large.\n", 413, mimetype="text/plain")
    stripe_events.receive(event, is_live=known.is_live)
    return Response("", 200, mimetype="text/plain")


def install(app: Flask) -> None:
    door = Blueprint("webhooks", __name__)
    door.add_url_rule("/webhooks/stripe", "stripe", stripe, methods=("POST",))
    app.register_blueprint(door)
