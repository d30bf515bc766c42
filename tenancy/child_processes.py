"""The demo's processes: each a Python module in its own session, with its own log, ended with the demo."""

import ctypes
import http.client
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

PAGE_SECONDS, STOP_SECONDS = 60, 10
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class ChildFailed(RuntimeError):
    """A process ended or never answered; the message is a sentence for the person at the terminal."""


@dataclass(frozen=True)
class Child:
    name: str
    process: "subprocess.Popen[bytes]"
    log: Path


class Children:
    def __init__(self, root: Path, logs: Path) -> None:
        self.root = root
        self.logs = logs
        self.running: list[Child] = []

    def start(self, name: str, environment: dict[str, str], module: str, *arguments: str) -> None:
        log = self.logs / f"{name.replace(' ', '-')}.log"
        with log.open("wb") as output:
            # Its own session: Ctrl-C reaches the demo alone, which then stops the others in order.
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], cwd=self.root, env=environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=end_with_parent,
            )  # fmt: skip
        self.running.append(Child(name, process, log))

    def stop(self) -> None:
        """The youngest first, so that the last letters still find the post office."""
        while self.running:
            child = self.running.pop()
            child.process.terminate()
            try:
                child.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                sys.stdout.write(f"the {child.name} did not stop in {STOP_SECONDS} s and is killed … ")
            _kill_group(child.process)

    def watch(self) -> None:
        """Until a signal interrupts, or one of them ends by itself."""
        while True:
            self.all_alive()
            time.sleep(0.5)

    def all_alive(self) -> None:
        for child in self.running:
            if child.process.poll() is not None:
                ending = end_of(child.log.read_text(errors="replace"))
                raise ChildFailed(
                    f"The {child.name} ended by itself ({child.process.returncode}). Its log {child.log} ends:\n{ending}"
                )

    def wait_for_page(self, port: int) -> None:
        deadline = time.monotonic() + PAGE_SECONDS
        while (status := _status_of_front_page(port)) is None:
            self.all_alive()
            if time.monotonic() > deadline:
                raise ChildFailed(f"Nothing answered on port {port} in {PAGE_SECONDS} s. The logs are in {self.logs}.")
            time.sleep(0.05)
        if status >= 500:
            youngest = self.running[-1].log
            ending = end_of(youngest.read_text(errors="replace"))
            raise ChildFailed(f"The page on port {port} answers {status}. The log {youngest} ends:\n{ending}")


def end_with_parent() -> None:
    # Even when the demo is killed outright, nothing keeps its ports.
    if libc:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
    process.wait()


def _status_of_front_page(port: int) -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/", headers={"Host": f"localhost:{port}"})
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def end_of(text: str) -> str:
    return "\n".join(text.splitlines()[-15:])
