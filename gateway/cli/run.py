"""mdi run, acquire, forward, check, status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import tomllib
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.auditing import audit_refusal, forwarding, open_audit, say_violations, self_test
from gateway.cli.certificates import show_certificates
from gateway.cli.judge import specimens
from gateway.cli.output import out, print_json, print_table
from gateway.config import Config, Device, read_config
from gateway.config_security import LAB
from gateway.core.errors import ConfigError, MdiError
from gateway.grade import Grade
from gateway.hl7_validate import is_judged
from gateway.logs import in_form
from gateway.reload import accepted
from gateway.security.audit import Event
from gateway.security.policy import Violation, enforce, findings, violations
from gateway.security.policy.enforce import exit_code
from gateway.serve import Orders, serve
from gateway.status import read_live_status
from gateway.words import WORDS, texts_of

ConfigOption = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value, for programs.")]
DEFAULT = Path("mdi_config.toml")


def run(config: ConfigOption = DEFAULT) -> None:
    """Run the whole gateway in one process.

    Reads from the ports, buffers in the rings and the spool, and sends. SIGTERM and Ctrl-C end it in order: what is
    in the rings is stored, and what the receiver answers within five seconds is done; a second one does not wait for
    answers. `mdi reload` takes a changed configuration over. The log goes to standard error.

    \b
    mdi check && mdi run
    mdi run --config /etc/mdi/mdi_config.toml
    """
    _serve(config, ("forward", "acquire"))


def acquire(config: ConfigOption = DEFAULT) -> None:
    """Run the ports only: from the devices into the rings.

    Needs no network but that of its devices. `mdi forward` with the same configuration takes the samples out of the
    rings in run_dir. Either may end and start again by itself; the rings hold what the other has not taken.
    """
    _serve(config, ("acquire",))


def forward(config: ConfigOption = DEFAULT) -> None:
    """Run the sender only: from the rings through the spool to the receiver.

    Opens no device. It goes on where it ended, also after a crash: what the receiver has not acknowledged is in the
    spool, in state_dir, and is sent again.
    """
    _serve(config, ("forward",))


def _serve(path: Path, roles: tuple[str, ...]) -> None:
    broken: list[Violation] = []

    def judged(config: Config) -> Config:
        WORDS.learn((str(path), *texts_of(tomllib.loads(config.text))))
        broken[:] = enforce(config, roles)
        if "forward" in roles:
            judge_plans(config)
        return config

    orders = orders_by_signal()
    writer = roles[0] if len(roles) == 1 else "run"
    try:
        config = read_config(path)
        in_form(config.log.format)
        judged(config)
    except MdiError as fault:
        audit_refusal(path, writer, fault)
        raise
    with forwarding(config, writer) as said, open_audit(config, writer, said) as audit:
        error = ""
        audit.write(Event.CONFIG_ACCEPTED, violations=len(broken), **accepted(config))
        say_violations(audit, broken, config.security.mode)
        mode, grade = config.security.mode, config.grade.letter
        audit.write(
            Event.START,
            pid=os.getpid(),
            version=version("mdi-edge-gateway"),
            ports=len(config.ports),
            mode=mode,
            grade=grade,
        )
        try:
            self_test(config, writer, audit)
            serve(config, roles, orders, lambda: judged(read_config(path)), audit)
        except BaseException as fault:
            error = type(fault).__name__
            raise
        finally:
            audit.write(Event.STOP, orderly=not error, **({"error": error} if error else {}))


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM, SIGINT and a closed terminal set: the orderly end. What nohup ignores stays so."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: stop.set())
    return stop


def orders_by_signal() -> Orders:
    """Return what signals set. SIGTERM, SIGINT: the end, the second one in a hurry; SIGUSR1: reload.

    SIGHUP means two things by tradition. Where there is a terminal it says that the terminal was closed: the end. A
    service has none, and takes it as reload.
    """
    orders = Orders()

    def end(*_: object) -> None:
        (orders.hurry if orders.stop.is_set() else orders.stop).set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGUSR1, lambda *_: orders.reload.set())
    if not has_terminal():
        signal.signal(signal.SIGHUP, lambda *_: orders.reload.set())
    elif signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, end)
    return orders


def has_terminal() -> bool:
    """Tell whether this process has a controlling terminal, that can be closed under it (tty(4): ENXIO if none)."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def judge_plans(config: Config) -> None:
    """Have a message of each device's plan judged, once for each plan in the life of the state directory.

    In a process of its own: hl7apy is large, and a bedside box needs it for this moment only. Raises: ConfigError.
    """
    if all(is_judged(plan, encoder, done) for plan, encoder, done in specimens(config)):
        return
    judge = [sys.executable, "-m", "gateway.cli.judge", str(config.path)]
    result = subprocess.run(judge, stderr=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        raise ConfigError((result.stderr.strip().splitlines() or ["the judge ended without a word"])[-1])


def check(config: ConfigOption = DEFAULT, json: JsonOption = False) -> None:
    """Check configuration, profiles, ports and rules without touching any hardware.

    Reads everything that `mdi run` reads, and stops at the first thing that is wrong with one line: file, line, what,
    and what to write instead. Then the rules of zones and conduits are asked, and all that is broken is listed: rule,
    key, line, why, and what to change. In production that is an error; in lab it is a warning, as at the start.
    The exit code is 0 when the gateway would start, 3 when something that was signed was changed, else 2.

    \b
    mdi check --config new.toml && sudo cp new.toml /etc/mdi/mdi_config.toml
    """
    checked = read_config(config)
    broken, tidy = violations(checked), findings(checked)
    good = checked.lab or not broken
    columns = ("port", "driver", "link", "device", "profile", "metrics", "digest")
    rows = [
        (p.settings.name, p.driver.name, p.link_kind.describe(p.link), d.settings.name, *_plan(checked, d))
        for p in checked.ports
        for d in p.devices
    ]
    if json:
        ports = [dict(zip(columns, row, strict=True)) for row in rows]
        judged = {"violations": [asdict(v) for v in broken], "findings": [asdict(v) for v in tidy]}
        print_json(
            {"ok": good, "mode": checked.security.mode, "grade": asdict(checked.grade), "ports": ports, **judged}
        )
        raise typer.Exit(0 if good else exit_code(broken))
    shown = ((port, link, device, profile, metrics) for port, _, link, device, profile, metrics, _ in rows)
    head = "LAB, correct" if checked.lab else "correct" if good else "refused"
    print_table(f"{config}: {head}", ("port", "link", "device", "profile", "metrics"), shown)
    _show_grade(checked.grade)
    _show_broken("Rules that are broken: " + ("said, not enforced" if checked.lab else "not started"), broken)
    _show_broken("Findings, which stop nobody", tidy)
    if not good:
        raise typer.Exit(exit_code(broken))


def _show_broken(title: str, broken: list[Violation]) -> None:
    if broken:
        out.print(title, style="bold yellow")
    for violation in broken:
        out.print(f"  {violation.where}  {violation.key}  [{violation.rule}]", markup=False, highlight=False)
        out.print(f"    {violation.why} → {violation.hint}", markup=False, highlight=False)


def _show_grade(grade: Grade) -> None:
    out.print(str(grade), style="" if grade.letter == "A" else "bold yellow")


def _plan(config: Config, device: Device) -> tuple[str, int, str]:
    plan = config.plan(device)
    return plan.profile_id, len(plan.metrics), plan.digest.hex()[:16]


def status(config: ConfigOption = DEFAULT, json: JsonOption = False) -> None:
    """Show what a running gateway does: states and counters, no values.

    The exit code is 0 when each role that ran with this configuration is alive, else 1.

    \b
    mdi status
    watch -n 1 mdi status
    mdi status --json | jq .forward.spool.waiting
    """
    found = read_live_status(read_config(config))
    if json:
        print_json(found)
    elif not found:
        out.print("no gateway has run with this configuration yet: mdi run")
    else:
        _show(found)
    if not found or not all(role["alive"] for role in found.values()):
        raise typer.Exit(1)


def _show_role(role: str, state: dict[str, Any]) -> None:
    if state["mode"] == LAB:
        out.print(f"{role}: LAB: nothing that leaves here is charted", style="bold yellow")
    alive = "alive" if state["alive"] else f"NOT alive, last seen {state['age_s']} s ago"
    out.print(f"{role}: {alive}, process {state['pid']}, clock {_clock(state['clock'])}")
    if state["stuck"]:
        out.print(f"{role}: STUCK: {', '.join(state['stuck'])}; see the log")
    if not state["reload"]["ok"]:
        out.print(f"{role}: not reloaded: {state['reload']['said']}")


def _clock(clock: dict[str, Any]) -> str:
    """Say how the clock is kept; the age of its last step is of the monotonic clock, so it is right in any case."""
    said = f"{clock['quality']} ({clock['source']}), {clock['steps']} steps"
    if clock["steps"]:
        said += f", the last of {clock['last_step_s']:+.3f} s {clock['last_step_age_s']:.0f} s ago"
    return said


def _show_device_clocks(ports: list[dict[str, Any]]) -> None:
    rows = [
        (d["name"], f"{d['clock_offset_s']:+.1f} s", f"{d['clock_offset_age_s']:.0f} s")
        for port in ports
        for d in port["devices"]
        if d["clock_offset_s"] is not None
    ]
    if rows:
        print_table("Clocks of devices, against ours", ("device", "offset", "told ago"), rows)


def _show(found: dict[str, Any]) -> None:
    for role, state in found.items():
        _show_role(role, state)
    if "acquire" in found:
        rows = [
            (
                p["name"],
                p["state"],
                p["frames_ok"],
                sum(p["frames_bad"].values()),
                p["samples"],
                f"{p['ring']['fill']:.0%}",
                p["ring"]["dropped"],
            )
            for p in found["acquire"]["ports"]
        ]
        print_table("Ports", ("port", "state", "frames ok", "bad", "samples", "ring", "dropped"), rows)
        _show_device_clocks(found["acquire"]["ports"])
    if "forward" in found:
        _show_forward(found["forward"])


def _show_forward(state: dict[str, Any]) -> None:
    counters, spool = state["counters"], state["spool"]
    show_certificates(state)
    _show_grade(Grade(**state["grade"]))
    print_table(
        f"Forward: {state['sink']}" + (f"; {state['alarm']}" if state["alarm"] else ""),
        ("messages", "accepted", "rejected", "resent", "waiting", "samples lost", "spool"),
        [
            (
                counters["messages"],
                counters["accepted"],
                counters["rejected"],
                counters["resent"],
                spool["waiting"],
                counters["rows_lost"],
                f"{spool['fill']:.1%}",
            )
        ],
    )
    terms = ("seen", "acknowledged", "waiting", "lost", "rejected", "left_out")
    rows = [(d["name"], *(d[term] for term in terms), _balance(d["difference"])) for d in state["devices"]]
    columns = ("device", *(term.replace("_", " ") for term in terms), "balance")
    print_table("Samples: seen = acknowledged + waiting + lost + rejected + left out by the routes", columns, rows)


def _balance(difference: int) -> str:
    return "holds" if not difference else f"{difference} UNACCOUNTED FOR, please report"
