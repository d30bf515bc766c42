"""Anchors: the newest number and hash of each clinic's chain, kept outside the database.

A chain proves that nothing within it was changed. It cannot prove that its end was not cut off, that an old backup was
not put in its place, or that all of it was not written anew by somebody who owns the server. So each minute the worker
adds the head of every chain that has grown to a file of its own in the folder that PORTICO_AUDIT_ANCHORS names, a line
each: `<number> <hash> <time of the entry>`. Files are only ever appended to. Put the folder where the database's
administrators cannot write (another machine's share, or `chattr +a`), and keep it when you restore a backup.
What happened since the last anchor, a minute at most, is protected by the chain alone.
"""

import os
from datetime import datetime
from pathlib import Path

from flask import current_app

from clinic.audit import chain
from clinic.audit.chain import Head
from tenancy import jobs, tenant
from tenancy.database import transaction
from tenancy.settings import Settings
from tenancy.tenant import Role

LONGEST_LINE = 200  # bytes


def folder() -> Path | None:
    settings: Settings = current_app.config["PORTICO"]
    return settings.audit_anchors


@jobs.every_clinic("audit.anchor", "* * * * *", Role.AUDITOR, suspended=True)
def anchor_heads() -> None:
    """Nothing to do where no folder is set."""
    if kept_in := folder():
        anchor(kept_in)


def anchor(kept_in: Path) -> Head | None:
    """Add the head of the open clinic's chain to its file if it has grown; returns the head that is anchored now."""
    with transaction():
        head = chain.head()
    if head is None:
        return None
    path = _path(kept_in)
    if _last_line(path) != (line := _written(head)):
        _append(path, line)
    return head


def of_clinic(kept_in: Path) -> list[Head]:
    """Every anchor of the open clinic, oldest first; none where it never had one."""
    path = _path(kept_in)
    return [_read(line) for line in path.read_text().splitlines()] if path.exists() else []


def _path(kept_in: Path) -> Path:
    return kept_in / f"{tenant.current_clinic_id()}.anchors"


def _written(head: Head) -> str:
    return f"{head.number} {head.hash.hex()} {head.at.isoformat()}"


def _read(line: str) -> Head:
    number, digest, at = line.split()
    return Head(int(number), bytes.fromhex(digest), datetime.fromisoformat(at))


def _last_line(path: Path) -> str | None:
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LONGEST_LINE))
        lines = file.read().decode().splitlines()
    return lines[-1] if lines else None


def _append(path: Path, line: str) -> None:
    """One write, on disk before anybody relies on it."""
    with open(path, "ab", buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(f"{line}\n".encode())
        os.fsync(file.fileno())
