"""Asks ClamAV about a file, where the operator has set one up (PORTICO_CLAMD); else nothing is scanned.

Over its socket, by INSTREAM: lengths and pieces, an empty piece at the end, and one line back. Never inside a
transaction: a scanner takes its time.
"""

import logging
import socket
from enum import StrEnum

from flask import current_app

from tenancy import database
from tenancy.settings import Settings

TIMEOUT_SECONDS = 10
PIECE = 64 * 1024
LONGEST_ANSWER = 1000
log = logging.getLogger(__name__)


class Scan(StrEnum):
    NONE = "none"  # no scanner was set up
    CLEAN = "clean"
    WAITING = "waiting"  # the scanner could not be asked: nobody gets the file until it was
    INFECTED = "infected"

    @property
    def lets_through(self) -> bool:
        return self in LETTING_THROUGH


LETTING_THROUGH = (Scan.NONE, Scan.CLEAN)


def scan(content: bytes) -> Scan:
    """What the scanner says now."""
    settings: Settings = current_app.config["PORTICO"]
    if settings.clamd is None:
        return Scan.NONE
    if database.is_running():
        raise RuntimeError("A file is scanned before the transaction that keeps it.")
    try:
        answer = _answer(settings.clamd, content)
    except OSError as error:
        log.error("scanner.unreachable: %s", type(error).__name__)
        return Scan.WAITING
    if answer.endswith(" FOUND"):
        log.warning("scanner.found: %s", answer)
        return Scan.INFECTED
    if answer == "stream: OK":
        return Scan.CLEAN
    log.error("scanner.puzzled: %s", answer)
    return Scan.WAITING


def _answer(address: str, content: bytes) -> str:
    with _opened(address) as scanner:
        scanner.sendall(b"zINSTREAM\0")
        for start in range(0, len(content), PIECE):
            piece = content[start : start + PIECE]
            scanner.sendall(len(piece).to_bytes(4, "big") + piece)
        scanner.sendall(bytes(4))
        told = b""
        while b"\0" not in told and len(told) < LONGEST_ANSWER:
            more = scanner.recv(LONGEST_ANSWER)
            if not more:
                break
            told += more
    return "".join(c for c in told.decode("ascii", "replace") if c.isprintable())


def _opened(address: str) -> socket.socket:
    if address.startswith("/"):
        scanner = socket.socket(socket.AF_UNIX)
        scanner.settimeout(TIMEOUT_SECONDS)
        try:
            scanner.connect(address)
        except OSError:
            scanner.close()
            raise
        return scanner
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), TIMEOUT_SECONDS)
