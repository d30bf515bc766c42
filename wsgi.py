"""The roof: joins the floors into one application and decides nothing."""

import os
from pathlib import Path

from flask import Flask, request
from flask_login import LoginManager
from flask_migrate import Migrate

import admin_app.blueprint
import admin_app.guards
import clinic.audit_cli
import clinic.cli
import clinic.payments_cli
import clinic.quarantine  # for its job
import mail.worker
import portal_app.blueprint
import portal_app.front_door
import portal_app.guards
import portal_app.webhooks
import tenancy.cli
from clinic import actors, browsers, stripe_gateway
from tenancy import client_address, cookies, requests, settings
from tenancy.database import Base, db
from tenancy.middleware import SITE, ClinicMiddleware
from tenancy.settings import Settings
from tenancy.sites import Admin
from tenancy.slugs import PortalSlug
from ui import body_sizes, pages

migrate = Migrate(directory=str(Path(__file__).parent / "migrations"))


def create_app(read: Settings | None = None) -> Flask:
    """The application. Raises SettingsFault, naming everything that is wrong with the environment at once."""
    known = read or settings.read(os.environ)
    app = Flask(__name__, static_folder=None, subdomain_matching=True)
    app.config.update(
        PORTICO=known,
        SERVER_NAME=known.authority,
        PREFERRED_URL_SCHEME=known.scheme,
        STRIPE_PAGES=known.stripe_pages,
        SQLALCHEMY_DATABASE_URI=known.database_url,
        SQLALCHEMY_ENGINE_OPTIONS={"pool_pre_ping": True, "pool_size": 8, "max_overflow": 8},
    )
    app.url_map.converters["portal_slug"] = PortalSlug
    app.url_map.merge_slashes = False  # one address a page: what a cache and we could read differently is not found
    cookies.install(app, known)
    requests.name_in_log()
    body_sizes.install(app)
    pages.install(app)
    mail.worker.install(app, known)
    stripe_gateway.install(app, known)
    db.init_app(app)
    migrate.init_app(app, metadata=Base.metadata)
    app.before_request(_nobody_yet)
    app.teardown_request(_nobody_any_more)
    _install_sign_in(app)
    admin_app.blueprint.install(app)
    portal_app.blueprint.install(app)
    portal_app.front_door.install(app)
    portal_app.webhooks.install(app)
    tenancy.cli.install(app)
    clinic.cli.install(app)
    clinic.audit_cli.install(app)
    clinic.payments_cli.install(app)
    app.wsgi_app = ClinicMiddleware(app, app.wsgi_app, known)  # type: ignore[method-assign]
    return app


def _nobody_yet() -> None:
    actors.become(actors.SYSTEM)
    browsers.become(browsers.described(request.user_agent.string, client_address.of(request.environ)))


def _nobody_any_more(_fault: BaseException | None) -> None:
    actors.become(actors.SYSTEM)
    browsers.become(browsers.NOBODYS)


def _install_sign_in(app: Flask) -> None:
    """Flask-Login asks the face that the request came to who holds the cookie's token."""
    # Without its context processor: that would load the signed-in person on open pages too.
    login = LoginManager(app, add_context_processor=False)
    login.session_protection = None  # the session row is bound to the clinic; network addresses change on phones

    @login.user_loader
    def load(token: str) -> object:
        at_admin = isinstance(request.environ.get(SITE), Admin)
        return admin_app.guards.load(token) if at_admin else portal_app.guards.load(token)
