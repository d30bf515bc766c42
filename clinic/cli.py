"""`flask clinics …`: how operators provision clinics. Each run is one transaction, audited under the operator's name."""

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any
from uuid import UUID

import click
from flask import Flask, current_app
from flask.cli import AppGroup

from clinic import actors, audit, demo, names, portal_settings, sessions, sign_in, staff
from clinic.actors import Actor, ActorKind
from clinic.staff import StaffRole
from tenancy import clinics, provisioning, slugs
from tenancy.clinics import ClinicEntry, Plan, Status
from tenancy.database import transaction
from tenancy.errors import PorticoError, Refused
from tenancy.settings import Settings
from tenancy.sites import admin_url, portal_url
from tenancy.tenant import Role

group = AppGroup("clinics", help="Provision clinics.")
NOBODY_IN_PARTICULAR = ("", "root", "admin", "administrator")


def operator() -> Actor:
    """The person at the keyboard, never "root". Raises ClickException."""
    settings: Settings = current_app.config["PORTICO"]
    name = (settings.operator or os.environ.get("SUDO_USER") or _login()).strip()
    if name.casefold() in NOBODY_IN_PARTICULAR:
        raise click.ClickException("Say who you are: set PORTICO_OPERATOR to your own name.")
    return Actor(ActorKind.OPERATOR, name=name)


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return ""


def in_sentences(command: Callable[..., None]) -> Callable[..., None]:
    """A refusal is a sentence and exit code 1, never a stack trace."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except PorticoError as error:
            raise click.ClickException(str(error.message)) from error

    return run


def find(slug: str) -> ClinicEntry:
    """Raises ClickException."""
    with transaction():
        found = clinics.find_at(slug)
    if found is None:
        raise click.ClickException(f"There is no clinic at {slug}. `flask clinics list` shows all.")
    return found


@contextmanager
def inside(clinic: ClinicEntry | UUID) -> Iterator[None]:
    """One audited transaction inside a clinic, as an operator."""
    with actors.acting(operator()), clinics.open_clinic(clinic, Role.OPERATOR), transaction():
        yield


@group.command("create")
@click.option("--name", required=True)
@click.option("--admin-email", required=True, help="Gets a one-time invitation as the clinic's first admin.")
@click.option("--slug", help="The portal's address; made from the name if left out.")
@click.option("--plan", type=click.Choice([plan.value for plan in Plan]), default="core", show_default=True)
@click.option("--time-zone", default="America/New_York", show_default=True)
@in_sentences
def create(name: str, admin_email: str, slug: str | None, plan: str, time_zone: str) -> None:
    """Create a clinic: all or nothing. The same again, for the same name and admin, changes nothing."""
    name = names.check_name(name)
    slug = slug or slugs.made_from(names.folded(name))
    if _is_there(slug, name, admin_email):
        return
    clinic_id = provisioning.new_clinic_id()
    try:
        with inside(clinic_id):
            provisioning.create(name=name, slug=slug, plan=Plan(plan), time_zone=time_zone)
            portal_settings.stock()
            audit.record("clinic.created", subject_id=clinic_id, plan=plan)
            staff.invite(email=admin_email, role=StaffRole.ADMIN)
    except Refused as refusal:
        # Taken since the look above: perhaps by the same command in another terminal.
        if refusal.message is not provisioning.TAKEN or not _is_there(slug, name, admin_email):
            raise
        return
    _warn_of_look_alikes(slug)
    _tell(slug)
    click.echo(f"An invitation is on its way to {admin_email}.")


def _is_there(slug: str, name: str, admin_email: str) -> bool:
    """Whether the same command has run before; it says so. Raises Refused when the address is another clinic's."""
    with transaction():
        there = clinics.find_at(slug)
    if there is None:
        return False
    with clinics.open_clinic(there, Role.OPERATOR), transaction():
        member = staff.find_by_email(admin_email)
    if there.name != name or member is None:
        raise Refused(provisioning.TAKEN)
    click.echo("This clinic exists already; nothing was changed and no invitation was sent.")
    _tell(there.slug)
    return True


def _warn_of_look_alikes(slug: str) -> None:
    with transaction():
        listed = clinics.in_directory()
    for clinic in listed:
        if slugs.look_alike(slug, clinic.slug):
            click.echo(f"Mind: {slug} is one letter from {clinic.slug} ({clinic.name}). Families may take one for the other.")


def _tell(slug: str) -> None:
    settings: Settings = current_app.config["PORTICO"]
    click.echo(f"Portal       {portal_url(settings, slug)}")
    click.echo(f"Staff pages  {admin_url(settings, slug)}")


@group.command("list")
def list_clinics() -> None:
    """All clinics, by name."""
    with transaction():
        listed = clinics.in_directory()
    for clinic in listed:
        click.echo(f"{clinic.slug:<40} {clinic.status:<10} {clinic.plan:<8} {clinic.name}")
    if not listed:
        click.echo("No clinics yet. `flask clinics create --help` says how to make one.")


@group.command("show")
@click.argument("slug")
@in_sentences
def show(slug: str) -> None:
    """One clinic: its addresses, plan and status. No patient records."""
    clinic = find(slug)
    with inside(clinic):
        audit.record("clinic.shown", subject_id=clinic.id)
    settings: Settings = current_app.config["PORTICO"]
    lines = {
        "Name": clinic.name,
        "Portal": portal_url(settings, clinic.slug),
        "Staff pages": admin_url(settings, clinic.slug),
        "Plan": clinic.plan,
        "Status": clinic.status,
        "Time zone": clinic.time_zone,
        "Payment processing": "on" if clinic.payment_processing_is_on else "off",
        "Id": clinic.id,
    }
    for term, value in lines.items():
        click.echo(f"{term:<20} {value}")


@group.command("rename")
@click.argument("slug")
@click.argument("new_slug")
@in_sentences
def rename(slug: str, new_slug: str) -> None:
    """Give a clinic another address. The old one redirects for good, and portal sessions end."""
    with inside(find(slug)):
        portal_settings.rename_portal(new_slug)
    _warn_of_look_alikes(new_slug)
    click.echo(f"{slug} is now {new_slug}.")


@group.command("plan")
@click.argument("slug")
@click.argument("plan", type=click.Choice([plan.value for plan in Plan]))
@in_sentences
def plan_(slug: str, plan: str) -> None:
    """Set a clinic's plan."""
    with inside(find(slug)):
        before = provisioning.set_plan(Plan(plan))
        audit.record("plan.changed", plan=[before, plan])
    click.echo(f"{slug} is on the {plan} plan.")


@group.command("suspend")
@click.argument("slug")
@in_sentences
def suspend(slug: str) -> None:
    """Close a clinic's portal and staff pages until resumed; nothing is lost."""
    _set_status(slug, Status.SUSPENDED)


@group.command("resume")
@click.argument("slug")
@in_sentences
def resume(slug: str) -> None:
    """Open a suspended clinic again."""
    _set_status(slug, Status.ACTIVE)


def _set_status(slug: str, status: Status) -> None:
    with inside(find(slug)):
        before = provisioning.set_status(status)
        if status is Status.SUSPENDED:
            sessions.end_all_in_clinic("clinic suspended")
        audit.record("status.changed", status=[before, status])
    click.echo(f"{slug} is {status}.")


@group.command("add-admin")
@click.argument("slug")
@click.option("--email", required=True)
@click.option("--name", default="")
@in_sentences
def add_admin(slug: str, email: str, name: str) -> None:
    """Make somebody an admin: a new member is invited, one who was invited before is invited again."""
    with inside(find(slug)):
        staff.make_admin(email=email, name=name)
    click.echo(f"A letter is on its way to {email}.")


@group.command("reset-sign-in")
@click.argument("slug")
@click.option("--email", required=True, help="Of a staff member who has lost their second factor.")
@in_sentences
def reset_sign_in(slug: str, email: str) -> None:
    """Let a staff member set up their sign-in anew: a link goes to them by mail, and you tell them a code."""
    with inside(find(slug)):
        member = staff.find_by_email(email)
        if member is None:
            raise Refused(f"No staff member of {slug} signs in with {email}.")
        opened = sign_in.start_reset(member.holder)
    click.echo(f"A link is on its way to {member.email}. It asks for this code: {opened.code}")
    click.echo("Tell it by telephone or in person, once you are sure who it is. Never mail it.")


def install(app: Flask) -> None:
    app.cli.add_command(group)
    app.cli.add_command(demo.group)
