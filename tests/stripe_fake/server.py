"""The application, and the wire it answers on: where a fault cuts the connection, it is cut there."""

import socket
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from flask import Flask, jsonify
from werkzeug.exceptions import InternalServerError
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from tests.stripe_fake.api import api
from tests.stripe_fake.control import control
from tests.stripe_fake.pages import pages
from tests.stripe_fake.webhooks import Post
from tests.stripe_fake.world import World

KEY = "sk_test_of_the_stand_in"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no seconds


def create_app(world: World, key: str = KEY) -> Flask:
    app = Flask(__name__, static_folder=None)
    app.config["STRIPE_KEY"] = key
    app.extensions.update(stripe_fake=world, stripe_fake_post=Post(world))
    for blueprint in (api, control, pages):
        app.register_blueprint(blueprint)
    app.register_error_handler(InternalServerError, lambda error: broken(world, error))
    app.wsgi_app = Wire(app.wsgi_app)  # type: ignore[method-assign]
    return app


def broken(world: World, error: InternalServerError) -> Any:
    """A mistake of this Stripe's own: loud, and found again by whoever asks for its violations."""
    told = f"THE STAND-IN FOR STRIPE IS WRONG: {error.original_exception!r}"
    world.state["violations"].append(told)
    return jsonify(error={"type": "api_error", "message": told}), 500


class Wire:
    """Answers whole, or not at all, or half: `stripe_fake.wire` in the environment says which."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        started: list[Any] = []
        answer = self.app(environ, lambda *arguments: started.append(arguments))
        body = b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()
        how = environ.get("stripe_fake.wire")
        if how == "reset":
            connection: socket.socket | None = environ.get("werkzeug.socket")
            if connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            raise ConnectionResetError("This stand-in for Stripe was told to hang up.")
        start_response(*started[0])
        return [body[: len(body) // 2] if how == "truncated" else body]


class OneRequestEach(WSGIRequestHandler):
    """A connection for each request: one that a fault cuts is nobody else's."""

    protocol_version = "HTTP/1.0"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Tests ask for `requests()`; a log of them would only hide what matters."""


def serve(port: int, file: Path | None = None, key: str = KEY, settle_after: int | None = None, **post: Any) -> BaseWSGIServer:
    """A server ready to serve on loopback, its post running. `post`: the webhooks' url and secret."""
    world = World(file)
    server = make_server("127.0.0.1", port, app := create_app(world, key), threaded=True, request_handler=OneRequestEach)
    world.state.update(url=f"http://127.0.0.1:{server.port}", settle_after=settle_after)
    world.state["post"].update({name: value for name, value in post.items() if value is not None})
    app.extensions["stripe_fake_post"].start()
    return server
