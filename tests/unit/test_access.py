"""Local access: real accounts over a real unix socket, every role and verb; limits, sessions and break-glass."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config_security import AccessSettings
from gateway.core.errors import ConfigError, LinkError, MdiError
from gateway.security.access.client import ask
from gateway.security.access.gate import Gate, Session
from gateway.security.access.glass import MOST_MINUTES, grant, granted, path_of
from gateway.security.access.roles import Role
from gateway.security.access.server import MAX_LINE, MOST_CLIENTS, MOST_OF_ONE, AdminServer
from gateway.security.access.verbs import VERBS
from gateway.security.audit import CATALOGUE, Event
from tests.parts.onboarding import Ward
from tests.parts.wait import wait_until

ROOT_ONLY = pytest.mark.skipif(os.getuid() != 0, reason="only root can be another account")
UID = {Role.NOBODY: 61000, Role.VIEWER: 61001, Role.OPERATOR: 61002, Role.APPROVER: 61003, Role.ADMINISTRATOR: 61004}
GROUPS = {"viewers": ("61001",), "operators": ("61002",), "approvers": ("61003",), "administrators": ("61004",)}


class Kept:
    """An audit log that keeps what it is told, and checks it against the catalogue."""

    def __init__(self) -> None:
        self.entries: list[tuple[Event, str, str, dict[str, object]]] = []

    def write(self, event: Event, subject: str = "", /, *, actor: str = "", **facts: object) -> None:
        assert all(CATALOGUE[event].facts[name].fits(value) for name, value in facts.items()), (event, facts)
        self.entries.append((event, subject, actor, facts))

    def status(self) -> dict[str, Any]:
        return {}


class Clock:
    """A fake clock of the daemon."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


class Daemon:
    """The admin socket of a ward, in a thread."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.ward = Ward(folder, mode="lab")
        usual: dict[str, Any] = {"failures": 100, "per_minute": 6000, **GROUPS}
        self.path = folder / "run/admin.sock"
        self.settings = AccessSettings(socket=str(self.path), **(usual | settings))
        self.config = replace(self.ward.config, access=self.settings)
        self.audit, self.clock, self.stop = Kept(), Clock(), threading.Event()
        self.server = AdminServer(self.config, lambda: self.config, self.audit, self.clock)
        self.path.parent.chmod(0o755)
        self.thread = threading.Thread(target=self.server.serve, args=(self.stop,))
        self.thread.start()

    def ask(self, verb: str, **args: str) -> Any:
        return ask(self.path, verb, args)

    def said(self, event: Event) -> list[tuple[str, str, dict[str, object]]]:
        return [(subject, actor, facts) for e, subject, actor, facts in self.audit.entries if e is event]

    def end(self) -> None:
        self.stop.set()
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def daemon() -> Iterator[Callable[..., Daemon]]:
    """Make daemons in a folder that every account may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    made: list[Daemon] = []

    def make(**settings: Any) -> Daemon:
        made.append(Daemon(folder, **settings))
        return made[-1]

    yield make
    for one in made:
        one.end()
    shutil.rmtree(folder)


def as_account(path: Path, uid: int, lines: list[bytes], groups: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """Become another account in a child, send lines, and return the answers."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setgid(groups[0] if groups else uid)
            os.setuid(uid)
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(20)
                connection.connect(str(path))
                file = connection.makefile("rb")
                for line in lines:
                    connection.sendall(line)
                    os.write(write, file.readline())
        except OSError as fault:
            os.write(write, json.dumps({"gone": str(fault)}).encode() + b"\n")
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        answers = file.read()
    os.waitpid(child, 0)
    return [json.loads(line) for line in answers.splitlines()]


def request(verb: str, args: Mapping[str, str] | None = None) -> bytes:
    return json.dumps({"verb": verb, "args": dict(args or {})}).encode() + b"\n"


ARGS = {"asset": "A-1", "reason": "a test", "rev": "1", "signature": "none", "since": "1h"}


@ROOT_ONLY
@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.word)
def test_each_role_may_exactly_its_verbs(daemon: Callable[..., Daemon], role: Role) -> None:
    one = daemon()
    for verb in VERBS.values():
        args = {name: ARGS[name] for name in verb.args if not name.endswith("?")}
        before = len(one.audit.entries)
        (answer,) = as_account(one.path, UID[role], [request(verb.name, args)])
        allowed = answer["ok"] or answer["exit"] != 77
        assert allowed == (role >= verb.role), (verb.name, answer)
        first = one.audit.entries[before]
        assert first[0] is (Event.ACCESS_GRANTED if allowed else Event.ACCESS_DENIED)
        assert (first[1], first[3]["uid"], first[3]["verb"]) == (verb.name, UID[role], verb.name)


@ROOT_ONLY
def test_groups_beside_the_first_count_and_the_highest_wins(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    (answer,) = as_account(one.path, 61999, [request("whoami")], (61555, 61001, 61003))
    assert answer["result"] == {"account": "uid-61999", "uid": 61999, "role": "approver"}


@ROOT_ONLY
def test_an_account_of_very_many_groups_is_served(daemon: Callable[..., Daemon]) -> None:
    """Of more than 256 groups the kernel's list is not read; the first group counts."""
    one = daemon()
    (answer,) = as_account(one.path, 61999, [request("whoami")], (61002, *range(62000, 62300)))
    assert answer["result"]["role"] == "operator"


@ROOT_ONLY
def test_nobody_learns_which_verbs_there_are(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    (answer,) = as_account(one.path, UID[Role.NOBODY], [request("nosuch")])
    assert answer["error"] == "denied"


def test_a_device_is_suspended_by_the_account_that_asks(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    one.ward.approve()
    assert one.ask("devices")[0]["may_open"] is True
    assert one.ask("suspend", asset="A-1", reason="viser forkert, æøå")["may_open"] is False
    assert one.ask("devices")[0]["state"] == "suspended"
    me = one.ask("whoami")["account"]
    assert [(actor, facts["person"]) for _, actor, facts in one.said(Event.DEVICE_SUSPENDED)] == [(me, me)]
    assert one.ask("resume", asset="A-1", reason="set right")["may_open"] is True


def test_an_approval_is_handed_in_and_counts_by_its_key(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    rev = one.ward.submit()
    data = (one.ward.etc_dir / f"approvals/A-1/{rev}.json").read_bytes()
    good = one.ward.people.sign("mso", data, "purpose=approval")
    assert one.ask("approve", asset="A-1", rev=str(rev), signature=good)["signer"] == "mso"
    own = one.ward.people.sign("lev", data, "purpose=approval")  # lev has submitted it
    with pytest.raises(MdiError) as fault:
        one.ask("approve", asset="A-1", rev=str(rev), signature=own)
    assert fault.value.exit_code == 3


@pytest.mark.parametrize(
    ("verb", "args", "said"),
    [
        ("suspend", {"asset": "A-1"}, "needs reason"),
        ("suspend", {"asset": "A-1", "reason": "x", "more": "y"}, "takes no more"),
        ("suspend", {"asset": "../x", "reason": "x"}, "asset"),
        ("suspend", {"asset": "A-1", "reason": "bed of 070761-4285"}, "can be a CPR number"),
        ("approve", {"asset": "A-1", "rev": "x", "signature": ""}, "whole number"),
        ("audit", {"since": "yesterday"}, "no time"),
        ("reload", {}, "no gateway runs"),
    ],
)
def test_mistakes_are_one_line(daemon: Callable[..., Daemon], verb: str, args: dict[str, str], said: str) -> None:
    with pytest.raises(MdiError, match=said) as fault:
        daemon().ask(verb, **args)
    assert "\n" not in str(fault.value)


def raw(one: Daemon) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(20)
    connection.connect(str(one.path))
    return connection


@pytest.mark.parametrize(
    "line",
    [
        b"hello\n",
        b"\n",
        b"[]\n",
        b'{"verb": 1}\n',
        b'{"verb": "status", "args": {"a": 1}}\n',
        b'{"verb": "status", "args": []}\n',
        b"\xff\xfe\n",
        b"[" * 10_000 + b"\n",
        b'{"verb": "status", "x": "' + b"a" * (MAX_LINE + 10) + b'"}\n',
        b"a" * (MAX_LINE * 2),
    ],
)
def test_what_is_no_request_ends_the_connection(daemon: Callable[..., Daemon], line: bytes) -> None:
    one = daemon()
    with raw(one) as connection:
        connection.sendall(line)
        file = connection.makefile("rb")
        answer = json.loads(file.readline())
        assert answer["exit"] == 77
        with suppress(ConnectionResetError):  # for what it did not read any more
            assert file.readline() == b""
    assert one.ask("whoami")["uid"] == os.getuid()
    assert one.said(Event.ACCESS_DENIED)[0][2]["rule"] in ("malformed", "too-long")


def test_several_requests_of_one_session_in_one_piece(daemon: Callable[..., Daemon]) -> None:
    with raw(daemon()) as connection:
        connection.sendall(request("whoami") * 3)
        file = connection.makefile("rb")
        assert [json.loads(file.readline())["ok"] for _ in range(3)] == [True] * 3


def test_connections_are_bounded_and_come_free_again(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    held = [raw(one) for _ in range(MOST_OF_ONE)]
    for connection in held:
        connection.sendall(request("whoami"))
        assert connection.recv(1000)
    with pytest.raises(LinkError):
        one.ask("whoami")
    assert one.said(Event.ACCESS_DENIED)[-1][2]["rule"] == "too-many"
    for connection in held:
        connection.close()

    def answers() -> bool:
        try:
            return bool(one.ask("whoami"))
        except LinkError:
            return False

    wait_until(answers)
    assert MOST_OF_ONE < MOST_CLIENTS


@pytest.mark.parametrize(("setting", "advance"), [({"idle_s": 10.0}, 10.0), ({"session_s": 20.0}, 20.0)])
def test_a_session_ends_by_the_clock(daemon: Callable[..., Daemon], setting: dict[str, float], advance: float) -> None:
    one = daemon(**setting)
    with raw(one) as connection:
        file = connection.makefile("rb")
        connection.sendall(request("whoami"))
        assert json.loads(file.readline())["ok"]
        one.clock.s += advance - 1
        connection.sendall(request("whoami"))
        assert json.loads(file.readline())["ok"]
        one.clock.s += advance
        assert file.readline() == b""


def test_half_a_line_does_not_hold_a_place(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    with raw(one) as connection:
        connection.sendall(b'{"verb"')
        time.sleep(0)
        wait_until(lambda: one.server._of[os.getuid()] == 1)

        def gone() -> bool:
            one.clock.s += 1
            connection.settimeout(0.2)
            try:
                return connection.recv(10) == b""
            except TimeoutError:
                return False

        wait_until(gone)


@ROOT_ONLY
def test_an_account_is_locked_out_and_let_in_again(daemon: Callable[..., Daemon]) -> None:
    one = daemon(failures=3, lockout_s=60.0)
    uid = UID[Role.VIEWER]
    denied = request("reload")
    answers = as_account(one.path, uid, [denied, denied, denied, denied])
    assert [a.get("exit") for a in answers][:3] == [77, 77, 77]
    (locked,) = as_account(one.path, uid, [request("whoami")])
    assert locked["why"] == "locked"
    (other,) = as_account(one.path, UID[Role.OPERATOR], [request("whoami")])
    assert other["ok"]
    one.clock.s += 60
    (again,) = as_account(one.path, uid, [request("whoami")])
    assert again["ok"]
    rules = [facts["rule"] for _, _, facts in one.said(Event.ACCESS_DENIED)]
    assert rules == ["role"] * 3 + ["locked"]


def test_root_is_never_locked_out_and_may_not_ask_too_often() -> None:
    gate = Gate(AccessSettings(failures=1, per_minute=2))
    assert not gate.failed(0, 1.0)
    assert [gate.refusal(0, 1.0) for _ in range(3)] == ["", "", "too-often"]
    assert gate.refusal(0, 61.0) == ""
    assert gate.failed(7, 1.0)
    assert gate.refusal(7, 1.0) == "locked"


@given(st.lists(st.tuples(st.sampled_from(["ask", "fail"]), st.floats(0, 100)), max_size=80))
def test_whatever_happens_nobody_gets_more_than_the_limits(steps: list[tuple[str, float]]) -> None:
    settings = AccessSettings(failures=3, lockout_s=50.0, per_minute=5)
    gate, now, let_in, locked_at = Gate(settings), 0.0, list[float](), -1e9
    for what, pause in steps:
        now += pause
        if what == "fail":
            locked_at = now if gate.failed(7, now) else locked_at
        elif not gate.refusal(7, now):
            assert now >= locked_at + settings.lockout_s
            let_in.append(now)
            assert sum(t > now - 60 for t in let_in) <= settings.per_minute


def test_a_session_says_why_it_is_over() -> None:
    session = Session(AccessSettings(idle_s=10.0, session_s=20.0), 0.0, 0.0)
    assert [session.over(t) for t in (0.0, 9.9, 10.0, 20.0)] == ["", "", "idle", "session-end"]
    session.active = 15.0
    assert session.over(19.0) == ""
    assert session.left(19.0) == 1.0


# Break-glass.


@ROOT_ONLY
def test_break_glass_gives_a_role_for_minutes(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    path, uid = path_of(str(one.path)), UID[Role.NOBODY]
    grant(path, uid, Role.OPERATOR, 5, time.time())
    (answer,) = as_account(one.path, uid, [request("whoami")])
    assert answer["result"]["role"] == "operator"
    assert granted(path, time.time() + 299) == {uid: Role.OPERATOR}
    assert granted(path, time.time() + 301) == {}
    os.chown(path, uid, uid)  # whoever could put one there is not root
    (answer,) = as_account(one.path, uid, [request("whoami")])
    assert answer["exit"] == 77


def test_break_glass_is_short_and_kept_strictly(tmp_path: Path) -> None:
    path = tmp_path / "break-glass.json"
    for minutes in (0, MOST_MINUTES + 1):
        with pytest.raises(ConfigError):
            grant(path, 7, Role.VIEWER, minutes, 1000.0)
    grant(path, 7, Role.VIEWER, 1, 1000.0)
    grant(path, 8, Role.APPROVER, 1, 1010.0)
    assert granted(path, 1020.0) == {7: Role.VIEWER, 8: Role.APPROVER}
    assert granted(path, 1065.0) == {8: Role.APPROVER}
    path.chmod(0o664)
    assert granted(path, 1020.0) == {}
    path.chmod(0o644)
    path.write_text('{"7": ["ADMINISTRATOR", 99999999999]}')  # longer than anybody may grant
    assert granted(path, 1020.0) == {}
    for text in ("", "[]", '{"x": ["VIEWER", 1]}', '{"7": ["KING", 1]}', '{"7": 1}', "[" * 10_000):
        path.write_text(text)
        assert granted(path, 1020.0) == {}


def test_a_second_daemon_is_refused_and_a_dead_one_replaced(daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    one = daemon()
    with pytest.raises(ConfigError, match="another daemon"):
        AdminServer(one.config, lambda: one.config, one.audit)
    dead = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(dead))
    access = replace(one.settings, socket=str(dead))
    server = AdminServer(replace(one.config, access=access), lambda: one.config, one.audit)
    server._socket.close()
