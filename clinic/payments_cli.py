"""`flask payments …`: operators have the books compared with Stripe. They see counts, no payments."""

import click
from flask import Flask
from flask.cli import AppGroup

from clinic import actors, audit, reconciliation
from clinic.audit import Result
from clinic.cli import find, in_sentences, inside, operator
from clinic.reconciliation import Outcome
from tenancy import clinics
from tenancy.clinics import ClinicEntry
from tenancy.database import transaction
from tenancy.tenant import Role

group = AppGroup("payments", help="Compare the books with Stripe.")


@group.command("reconcile")
@click.argument("slug", required=False)
@in_sentences
def reconcile(slug: str | None) -> None:
    """Compare one clinic's payments with Stripe's lists, or every clinic's, and put right what can be. Exit code 1 if
    something needs a person, or if Stripe did not answer."""
    operator()  # every run is recorded under a name, so ask for it before the work
    listed = _named(slug)
    troubled = [clinic.slug for clinic in listed if not _is_in_order(clinic)]
    if troubled:
        raise click.ClickException(f"Not everything is in order at {', '.join(troubled)}.")


def install(app: Flask) -> None:
    app.cli.add_command(group)


def _named(slug: str | None) -> list[ClinicEntry]:
    if slug:
        return [find(slug)]
    with transaction():
        return clinics.in_directory()


def _is_in_order(clinic: ClinicEntry) -> bool:
    """Says how it stands, and records that somebody asked."""
    with clinics.open_clinic(clinic, Role.STAFF), actors.acting(actors.SYSTEM):
        outcome = reconciliation.reconcile()
    click.echo(f"{clinic.slug}: {_verdict(outcome)}")
    is_in_order = outcome.is_complete and not outcome.told and not outcome.still_open
    with inside(clinic):
        result = Result.DONE if is_in_order else Result.FAILED
        audit.record("payments.reconciled", result=result, compared=outcome.compared, corrected=outcome.corrected, told=outcome.told)
    return is_in_order


def _verdict(outcome: Outcome) -> str:
    said = f"{outcome.compared} compared, {outcome.corrected} put right, {outcome.told} new for a person to look at"
    waiting = f", {outcome.still_open} open on the clinic's billing page" if outcome.still_open else ""
    silent = "" if outcome.is_complete else "; Stripe did not answer about everything, so run it again"
    return f"{said}{waiting}{silent}."
