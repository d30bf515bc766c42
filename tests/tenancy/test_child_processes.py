"""Lost if it fails: the demo hangs without a word, says nothing of why it failed, or leaves programs that keep its ports."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tenancy import child_processes
from tenancy.child_processes import ChildFailed, Children
from tests.journeys.running import free_port

ROOT = Path(__file__).resolve().parents[2]
# What the children here are: modules of a few lines, in a folder of their own.
SLEEPS = "import time; print('up', flush=True); time.sleep(60)"
FAILS = "raise SystemExit('\\n'.join(f'line {number}' for number in range(1, 31)))"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(60)"
)
SHOWS = """
import ctypes, os, sys

signal_at_parents_death = ctypes.c_int()
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(2, ctypes.byref(signal_at_parents_death))  # PR_GET_PDEATHSIG of <linux/prctl.h>
print(sys.argv[1:], os.environ["WORD"], os.getcwd(), repr(sys.stdin.read()))
print(os.getsid(0) == os.getpid(), signal_at_parents_death.value)
"""
ANSWERS = """
import http.server, sys

class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # which leaves it to the asker to hang up

    def do_GET(self):
        print("asked for", self.path, "of", self.headers["Host"], flush=True)
        self.send_response(int(sys.argv[2]))
        self.send_header("Content-Length", "0")
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
"""


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    modules = {"sleeps": SLEEPS, "fails": FAILS, "stubborn": STUBBORN, "parent": PARENT, "shows": SHOWS, "answers": ANSWERS}
    for name, source in modules.items():
        (tmp_path / f"{name}.py").write_text(source)
    (tmp_path / "logs").mkdir()
    children = Children(tmp_path, tmp_path / "logs")
    yield children
    for child in children.running:
        child.process.kill()
        child.process.wait()


def begin(children: Children, module: str, *arguments: str) -> "subprocess.Popen[bytes]":
    children.start(f"{module} child", {**os.environ, "WORD": "told"}, module, *arguments)
    return children.running[-1].process


def soon(question: Callable[[], object]) -> bool:
    """Whether it comes true within some seconds."""
    deadline = time.monotonic() + 20
    while not question():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def log_of(children: Children, name: str) -> str:
    return (children.logs / f"{name}.log").read_text()


def is_alive(pid: int) -> bool:
    try:
        facts = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return facts.rpartition(")")[2].split()[0] != "Z"


def test_a_child_is_told_what_it_needs_and_stands_by_itself(children: Children, tmp_path: Path) -> None:
    """Ctrl-C in the terminal reaches the demo alone: it stops the others in order."""
    assert begin(children, "shows", "--one", "two").wait(20) == 0
    at_parents_death = signal.SIGTERM if sys.platform == "linux" else 0
    told = f"['--one', 'two'] told {tmp_path.resolve()} ''\nTrue {at_parents_death:d}\n"
    assert log_of(children, "shows-child") == told


def test_the_youngest_is_stopped_first_and_nothing_remains(children: Children) -> None:
    """The last letters still find the post office."""
    stopped: list[str] = []
    for number in range(2):
        process = begin(children, "sleeps")
        assert soon(lambda: "up" in log_of(children, "sleeps-child"))

        def terminate(kept: Callable[[], None] = process.terminate, number: int = number) -> None:
            stopped.append(str(number))
            kept()

        process.terminate = terminate  # type: ignore[method-assign]
    processes = [child.process for child in children.running]
    children.stop()
    assert stopped == ["1", "0"] and children.running == []
    assert [process.returncode for process in processes] == [-signal.SIGTERM] * 2


def test_one_that_does_not_stop_is_killed_and_named(
    children: Children, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(child_processes, "STOP_SECONDS", 0.2)
    process = begin(children, "stubborn")
    assert soon(lambda: "up" in log_of(children, "stubborn-child"))
    children.stop()
    assert process.returncode == -signal.SIGKILL
    assert capsys.readouterr().out == "the stubborn child did not stop in 0.2 s and is killed … "


def test_what_a_child_started_ends_with_it(children: Children) -> None:
    """Else a second demo finds the port taken by nobody that anybody knows."""
    begin(children, "parent")
    assert soon(lambda: log_of(children, "parent-child").strip())
    grandchild = int(log_of(children, "parent-child"))
    assert is_alive(grandchild)
    children.stop()
    assert soon(lambda: not is_alive(grandchild))


def test_a_group_that_is_gone_or_not_ours_to_kill_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some systems refuse a signal to a group of the dead."""
    process = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    process.wait()
    child_processes._kill_group(process)

    def refuse(group: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "killpg", refuse)
    child_processes._kill_group(process)


def test_one_that_ends_by_itself_is_named_with_the_end_of_its_log(children: Children) -> None:
    begin(children, "sleeps")
    begin(children, "fails").wait(20)
    with pytest.raises(ChildFailed) as failure:
        children.all_alive()
    said = str(failure.value).splitlines()
    assert said[0] == f"The fails child ended by itself (1). Its log {children.logs / 'fails-child.log'} ends:"
    assert said[1:] == [f"line {number}" for number in range(16, 31)]


def test_watching_ends_when_one_of_them_does(children: Children) -> None:
    process = begin(children, "sleeps")
    children.all_alive()
    killer = threading.Timer(0.2, process.kill)
    killer.start()
    with pytest.raises(ChildFailed, match="ended by itself"):
        children.watch()
    killer.join()


def test_watching_takes_no_core_of_its_own(children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        children.watch()
    assert slept == [0.5] * 3


@pytest.mark.parametrize("status", [200, 404, 499])
def test_a_page_that_answers_is_up(children: Children, status: int) -> None:
    port = free_port()
    begin(children, "answers", str(port), str(status))
    children.wait_for_page(port)
    assert f"asked for / of localhost:{port}\n" in log_of(children, "answers-child")


@pytest.mark.parametrize("status", [500, 503])
def test_a_page_that_answers_with_an_error_is_no_start(children: Children, status: int) -> None:
    """"Portico is up" would be said of a portal that shows nothing but an apology."""
    port = free_port()
    begin(children, "sleeps")
    begin(children, "answers", str(port), str(status))
    with pytest.raises(ChildFailed, match=f"on port {port} answers {status}. The log .*answers-child.log ends:\nasked for /"):
        children.wait_for_page(port)


def test_a_page_that_never_answers_is_given_up_with_the_place_of_the_logs(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_processes, "PAGE_SECONDS", 0.2)
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    begin(children, "sleeps")
    with pytest.raises(ChildFailed, match=f"Nothing answered on port .* in 0.2 s. The logs are in {children.logs}."):
        children.wait_for_page(free_port())
    assert set(slept) == {0.05}  # what is starting gets the core


def test_one_that_dies_before_its_page_answers_is_not_waited_for(children: Children) -> None:
    begin(children, "fails")
    began = time.monotonic()
    with pytest.raises(ChildFailed, match="ended by itself"):
        children.wait_for_page(free_port())
    assert time.monotonic() - began < 20


def test_a_port_that_takes_a_question_and_hangs_up_has_no_page_yet(children: Children) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            server.accept()[0].close()

        stranger = threading.Thread(target=hang_up)
        stranger.start()
        assert child_processes._status_of_front_page(server.getsockname()[1]) is None
        stranger.join()


def test_nothing_outlives_a_demo_that_is_killed_outright(tmp_path: Path, children: Children) -> None:
    script = (
        "import os, sys, time; from pathlib import Path\n"
        "from tenancy.child_processes import Children\n"
        f"children = Children(Path({str(tmp_path)!r}), Path({str(children.logs)!r}))\n"
        "children.start('the sleeps', dict(os.environ), 'sleeps')\n"
        "print(children.running[0].process.pid, flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.kill()
    assert soon(lambda: not is_alive(child))


def test_the_kernel_is_asked_to_end_children_with_their_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, ...]] = []

    class Kernel:
        def prctl(self, *words: int) -> None:
            asked.append(words)

    monkeypatch.setattr(child_processes, "libc", Kernel())
    child_processes.end_with_parent()
    assert asked == [(1, signal.SIGTERM)]  # PR_SET_PDEATHSIG of <linux/prctl.h>


def test_where_the_kernel_cannot_be_asked_for_that_children_start_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_processes, "libc", None)
    child_processes.end_with_parent()
