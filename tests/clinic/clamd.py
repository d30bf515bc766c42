"""A small ClamAV: speaks INSTREAM on a socket, finds EICAR, and can be told to be wrong."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.clinic.files import EICAR


@dataclass
class Clamd:
    address: str
    answers: list[bytes] = field(default_factory=list)  # taken one each; the honest one when they run out
    seen: list[bytes] = field(default_factory=list)

    def serve(self, listening: socket.socket) -> None:
        while True:
            try:
                opened, _ = listening.accept()
            except OSError:
                return
            with opened, opened.makefile("rb") as read:
                if read.read(10) != b"zINSTREAM\0":
                    continue
                content = b""
                while length := int.from_bytes(read.read(4), "big"):
                    content += read.read(length)
                self.seen.append(content)
                honest = b"stream: Eicar-Signature FOUND\0" if EICAR in content else b"stream: OK\0"
                opened.sendall(self.answers.pop(0) if self.answers else honest)


@contextmanager
def clamd(path: Path | None = None) -> Iterator[Clamd]:
    """At a path, or at a port of its own."""
    listening = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    listening.bind(str(path) if path else ("127.0.0.1", 0))
    listening.listen()
    made = Clamd(str(path) if path else f"127.0.0.1:{listening.getsockname()[1]}")
    serving = threading.Thread(target=made.serve, args=(listening,))
    serving.start()
    try:
        yield made
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        serving.join()
