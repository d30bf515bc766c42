"""What a person does on a Checkout page: pays by card, proves who they are, lets the bank pay, gives up."""

from tests.stripe_fake import methods, payments
from tests.stripe_fake.checkout import INTENT_DATA
from tests.stripe_fake.errors import invalid
from tests.stripe_fake.world import Thing, World

# The ways to pay, as tests name them: the card's number, and the answer to the bank's question where there is one.
WAYS: dict[str, tuple[str, bool | None]] = {
    "card": ("4242424242424242", None), "declined": ("4000000000000002", None),
    "3ds": ("4000002500003155", True), "3ds_failed": ("4000002500003155", False),
}  # fmt: skip


def pay(world: World, session_id: str, how: str, save: bool = False, number: str | None = None) -> None:
    """All of it in one step. Raises Stripe's error when the payment is refused."""
    if how == "bank_debit":
        by_debit(world, session_id, save)
    elif how == "saved":
        by_saved(world, session_id)
    else:
        card, answer = WAYS[how]
        if by_card(world, session_id, number or card, save) == "3ds" and answer is not None:
            answer_bank(world, session_id, answer)


def by_card(world: World, session_id: str, number: str, save: bool = False) -> str:
    """`complete`, or `3ds` when the bank wants to ask the person first (see `answer_bank`)."""
    account, session = open_session(world, session_id)
    if number not in methods.CARDS:
        raise methods.declined("generic_decline")
    method, outcome = methods.make_card(world, account, number), methods.CARDS[number][0]
    if outcome == "3ds":
        target = _target(world, account, session)
        target.update(status="requires_action", payment_method=method["id"], next_action=_question(world, session))
        world.hidden(session_id).update(asked=method["id"], asked_save=save)
        world.emit(f"{target['object']}.requires_action", account, target)
        return "3ds"
    if outcome != "succeeds":
        raise _refused(world, account, session, method, outcome)
    _complete(world, account, session, method, save)
    return "complete"


def _question(world: World, session: Thing) -> Thing:
    url = f"{world.state['url']}/c/pay/{session['id']}/bank"
    return {"type": "redirect_to_url", "redirect_to_url": {"return_url": f"{world.state['url']}/c/pay/{session['id']}", "url": url}}


def answer_bank(world: World, session_id: str, ok: bool) -> None:
    account, session = open_session(world, session_id)
    known = world.hidden(session_id)
    if "asked" not in known:
        raise invalid("The bank asked nothing.")
    method, save = world.get("payment_method", account, known.pop("asked")), known.pop("asked_save")
    if not ok:
        raise _refused(world, account, session, method, "authentication_failed")
    _complete(world, account, session, method, save)


def by_saved(world: World, session_id: str, method_id: str | None = None) -> None:
    """With a card that this customer saved earlier."""
    account, session = open_session(world, session_id)
    cards = saved_cards(world, account, session)
    chosen = next((each for each in cards if method_id in (None, each["id"])), None)
    if chosen is None:
        raise invalid("This customer has no such saved card.")
    later = world.hidden(chosen["id"])["later"]
    if later not in ("succeeds", "authentication_required"):
        raise _refused(world, account, session, chosen, later)
    _complete(world, account, session, chosen, save=False)


def by_debit(world: World, session_id: str, save: bool = False) -> None:
    account, session = open_session(world, session_id)
    if methods.DEBITS.get(session["currency"]) not in session["payment_method_types"]:
        raise invalid(f"This session takes no bank debit: only {', '.join(session['payment_method_types'])}.")
    _complete(world, account, session, methods.make_debit(world, account, session["currency"]), save)


def saved_cards(world: World, account: str, session: Thing) -> list[Thing]:
    """What the page offers again: a card saved for later charges alone is `limited`, and shown only where that is asked for."""
    if not session["customer"]:
        return []
    offered = session["saved_payment_method_options"]["allow_redisplay_filters"]
    things = world.things("payment_method", account).values()
    return [
        each
        for each in things
        if each["customer"] == session["customer"] and each["type"] == "card" and each["allow_redisplay"] in offered
    ]


def open_session(world: World, session_id: str) -> tuple[str, Thing]:
    account = world.owner("checkout.session", session_id)
    session = world.get("checkout.session", account, session_id)
    if session["status"] != "open":
        raise invalid(f"This Checkout Session is {session['status']}: it takes no payment any more.")
    payments.must_take_payments(world, account)
    return account, session


def _target(world: World, account: str, session: Thing) -> Thing:
    """The intent that this session is about; a payment's is made when the person first confirms."""
    if session["mode"] == "setup":
        return world.get("setup_intent", account, session["setup_intent"])
    if session["payment_intent"]:
        return world.get("payment_intent", account, session["payment_intent"])
    data = world.hidden(session["id"])["intent_data"]
    made = payments.make_intent(
        world, account, session["amount_total"], session["currency"], session["payment_method_types"],
        customer=session["customer"], **{name: data[name] for name in INTENT_DATA if name in data},
    )  # fmt: skip
    session["payment_intent"] = made["id"]
    world.hidden(made["id"])["session"] = session["id"]
    return made


def _refused(world: World, account: str, session: Thing, method: Thing, decline: str) -> Exception:
    target = _target(world, account, session)
    if session["mode"] == "payment":
        return payments.fail(world, account, target, method, decline)
    error = methods.declined(decline, payment_method=dict(method))
    target.update(status="requires_payment_method", payment_method=None, next_action=None, last_setup_error=error.answer["error"])
    world.emit("setup_intent.setup_failed", account, target)
    return error


def _complete(world: World, account: str, session: Thing, method: Thing, save: bool) -> None:
    target, saving = _target(world, account, session), world.hidden(session["id"])["save"]
    saves = method["customer"] is None and (saving == "always" or (saving == "ask" and save))
    if session["customer"] is None and (saves or session["customer_creation"] == "always"):
        session["customer"] = methods.make_customer(world, account, email=session["customer_email"])["id"]
    target["customer"] = session["customer"]
    if saves:
        methods.attach(world, account, method, session["customer"], "always" if saving == "ask" else "limited")
    session.update(status="complete", url=None, customer_details=_who(session))
    if session["mode"] == "setup":
        target.update(status="succeeded", payment_method=method["id"], next_action=None, last_setup_error=None)
        world.emit("setup_intent.succeeded", account, target)
    elif method["type"] == "card":
        session["payment_status"] = "paid"
        payments.succeed(world, account, target, method)
    else:
        payments.start_debit(world, account, target, method)
    world.emit("checkout.session.completed", account, session)


def _who(session: Thing) -> Thing:
    nobody = dict.fromkeys(("address", "business_name", "individual_name", "name", "phone"))
    return nobody | {"email": session["customer_email"] or "payer@example.com", "tax_exempt": "none", "tax_ids": None}
