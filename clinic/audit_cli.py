"""`flask audit …`: operators prove the audit log, and anchor it by hand. They see numbers and hashes, no entries."""

from datetime import timedelta
from pathlib import Path

import click
from flask import Flask
from flask.cli import AppGroup

from clinic import audit
from clinic.audit import Result, anchors, chain
from clinic.audit.chain import Breach, Fault, Head
from clinic.cli import find, in_sentences, inside, operator
from tenancy import clinics, clock
from tenancy.clinics import ClinicEntry
from tenancy.database import transaction
from tenancy.tenant import Role

group = AppGroup("audit", help="Prove that nobody changed the audit log.")
NO_FOLDER = "PORTICO_AUDIT_ANCHORS is not set: a cut end, a chain written anew or an old backup cannot be seen."
ANCHORED_WITHIN = timedelta(hours=1)
WORDS = {
    Breach.MISSING: "is missing",
    Breach.UNLINKED: "does not follow the one before it",
    Breach.CHANGED: "was changed",
    Breach.UNCHAINED: "was added outside the chain",
    Breach.CUT: "is missing, and all after it; it was anchored",
    Breach.REWRITTEN: "or a later one is not the one that was anchored",
}


@group.command("verify")
@click.argument("slug", required=False)
@in_sentences
def verify(slug: str | None) -> None:
    """Prove one clinic's log, or every clinic's. Exit code 1 if any is broken."""
    operator()  # every run is recorded under a name, so ask for it before the work
    kept_in = anchors.folder()
    if kept_in is None:
        click.echo(NO_FOLDER, err=True)
    broken = [clinic.slug for clinic in _named(slug) if not _is_sound(clinic, kept_in)]
    if broken:
        raise click.ClickException(f"The audit log of {', '.join(broken)} was tampered with.")


@group.command("anchor")
@click.argument("slug", required=False)
@in_sentences
def anchor(slug: str | None) -> None:
    """Write the newest number and hash of each log to PORTICO_AUDIT_ANCHORS now; the worker does each minute."""
    kept_in = anchors.folder()
    for clinic in _named(slug):
        with clinics.open_clinic(clinic, Role.AUDITOR):
            head = anchors.anchor(kept_in) if kept_in else _head()
        if head:
            click.echo(f"{clinic.slug}: {head.number} {head.hash.hex()}")
    if kept_in is None:
        raise click.ClickException("PORTICO_AUDIT_ANCHORS is not set, so nothing was written; keep these lines elsewhere.")


def install(app: Flask) -> None:
    app.cli.add_command(group)


def _named(slug: str | None) -> list[ClinicEntry]:
    if slug:
        return [find(slug)]
    with transaction():
        return clinics.in_directory()


def _head() -> Head | None:
    with transaction():
        return chain.head()


def _is_sound(clinic: ClinicEntry, kept_in: Path | None) -> bool:
    """Says so, and records that somebody asked."""
    with clinics.open_clinic(clinic, Role.AUDITOR):
        anchored = anchors.of_clinic(kept_in) if kept_in else []
        with transaction():
            fault, head, oldest_at = chain.verify(anchored), chain.head(), chain.begun_at()
    is_unanchored = bool(kept_in and not anchored and oldest_at and oldest_at < clock.now() - ANCHORED_WITHIN)
    entries = head.number if head else 0
    click.echo(f"{clinic.slug}: {_verdict(fault, is_unanchored, entries, anchored)}")
    is_sound = fault is None and not is_unanchored
    with inside(clinic):
        result, broken_at = Result.DONE if is_sound else Result.FAILED, fault.number if fault else None
        audit.record("audit_log.verified", result=result, entries=entries, broken_at=broken_at)
    return is_sound


def _verdict(fault: Fault | None, is_unanchored: bool, entries: int, anchored: list[Head]) -> str:
    if fault:
        return f"broken at entry {fault.number} which {WORDS[fault.breach]}."
    if is_unanchored:
        return "sound in itself, but it was never anchored. Is the worker running, or was its file taken away?"
    upto = f", anchored up to {anchored[-1].number}" if anchored else ""
    return f"sound, {entries} entries{upto}."
