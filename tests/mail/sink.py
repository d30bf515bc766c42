"""A real SMTP server on loopback that keeps what arrives, and answers as it is told."""

import email
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default as default_policy

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class Arrived:
    envelope_from: str
    envelope_to: list[str]
    content: bytes

    @property
    def message(self) -> EmailMessage:
        return email.message_from_bytes(self.content, policy=default_policy)

    def header_lines(self, name: str) -> list[str]:
        """The lines of this header as they came over the wire."""
        head = self.content.replace(b"\r\n", b"\n").split(b"\n\n", 1)[0].decode("ascii")
        return [line for line in head.split("\n") if line.lower().startswith(f"{name.lower()}:")]

    @property
    def message_id(self) -> str:
        return str(self.message["Message-ID"])


@dataclass
class Sink:
    """Answers to RCPT and to DATA are taken from the lists, one each; "250 OK" when they run out."""

    port: int = 0
    to_rcpt: list[str] = field(default_factory=list)
    to_data: list[str] = field(default_factory=list)
    drops_after_data: int = 0
    arrived: list[Arrived] = field(default_factory=list)

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        answer = self.to_rcpt.pop(0) if self.to_rcpt else "250 OK"
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content or b""
        assert isinstance(content, bytes)
        self.arrived.append(Arrived(str(envelope.mail_from), list(envelope.rcpt_tos), content))
        if self.drops_after_data:
            self.drops_after_data -= 1
            assert server.transport is not None
            server.transport.abort()
        return self.to_data.pop(0) if self.to_data else "250 OK"


@contextmanager
def sink() -> Iterator[Sink]:
    made = Sink(port=free_port())
    controller = Controller(made, hostname="127.0.0.1", port=made.port)
    controller.start()
    try:
        yield made
    finally:
        controller.stop()


@contextmanager
def hung_server() -> Iterator[int]:
    """Takes the connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
