"""mdi security selftest: the tests of a start, now, and what else can be looked at without asking anybody outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import typer

from gateway.cli.auditing import audit_folder
from gateway.cli.output import print_json, print_table
from gateway.cli.run import DEFAULT, ConfigOption, JsonOption
from gateway.config import Config, read_config
from gateway.core.errors import MdiError
from gateway.security.audit.reading import writers_of
from gateway.security.audit.selftest import OF_A_LOG, TESTS, Place
from gateway.security.audit.selftest import selftest as failing
from gateway.security.certs.state import status
from gateway.security.dossier.collect_parts import ruleset_fact, standings

FAILS = 2  # exit code: a test fails
PASS, FAIL, UNKNOWN = "pass", "fail", "unknown"


@dataclass(frozen=True, slots=True)
class Row:
    """One test. of: what was looked at; state: pass, fail, or unknown (nobody could look); why: of what is no pass."""

    test: str
    of: str
    state: str
    why: str = ""


def selftest(config: ConfigOption = DEFAULT, json: JsonOption = False) -> None:
    """Run the security self-test of a start now: known answers, audit logs, certificates, firewall.

    The algorithms that are relied on give the answers of their standards; the audit log of each process is what it was,
    and its key is its owner's only; the certificates hold; the firewall in force is the one that is declared. What
    cannot be looked at is unknown, and no pass. Best run as root. Exit code: 0 nothing fails, 2 something does.

    \b
    mdi security selftest --config /etc/mdi/mdi_config.toml
    """
    read, now = read_config(config), datetime.now(UTC)
    rows = [*_algorithms(), *_audit_logs(read), *_certificates(read, now), _firewall(read, now)]
    ok = all(row.state != FAIL for row in rows)
    if json:
        print_json({"ok": ok, "tests": [asdict(row) for row in rows]})
    else:
        print_table("Self-test", ("test", "of", "result", "why"), [(r.test, r.of, r.state, r.why) for r in rows])
    if not ok:
        raise typer.Exit(FAILS)


def _algorithms() -> Iterator[Row]:
    tests = {name: test for name, test in TESTS.items() if name not in OF_A_LOG}
    wrong = failing(Place(Path(), ""), tests)
    for name in tests:
        yield Row(name, "known answer", *((FAIL, "another answer than its standard has") if name in wrong else (PASS,)))


def _audit_logs(config: Config) -> Iterator[Row]:
    folder = audit_folder(config)
    try:
        writers = writers_of(folder)
    except MdiError as fault:
        yield Row("audit-chain", str(folder), UNKNOWN, fault.what)
        return
    for writer in writers:
        wrong = failing(Place(folder / writer, config.gateway.name), {name: TESTS[name] for name in OF_A_LOG})
        for name in OF_A_LOG:
            why = "it was changed, or cannot be read: mdi audit verify" if name == "audit-chain" else "see its rights"
            yield Row(name, writer, *((FAIL, why) if name in wrong else (PASS,)))


def _certificates(config: Config, now: datetime) -> Iterator[Row]:
    try:
        found = status(config, now)
    except (MdiError, OSError) as fault:
        yield Row("certificate", "sink", UNKNOWN, str(fault))
        return
    if not found:
        yield Row("certificate", "sink", UNKNOWN, "none: the sink has no TLS")
    for one in found:
        of = f"{one.role} {one.subject or one.path}"
        if one.faults:
            yield Row("certificate", of, FAIL, "; ".join(one.faults))
        elif one.not_after:  # else a key that waits for its certificate
            yield Row("certificate", of, PASS, f"until {one.not_after}")


def _firewall(config: Config, now: datetime) -> Row:
    try:
        found = ruleset_fact(config, standings(config, now), now)
    except (MdiError, OSError) as fault:
        return Row("firewall", "inet mdi", UNKNOWN, str(fault))
    if found.enforced is None:
        return Row("firewall", "inet mdi", UNKNOWN, "the kernel was not asked: this needs root and nft")
    if found.enforced:
        return Row("firewall", "inet mdi", PASS)
    why = "what is in force is not what is declared: mdi netrules --diff"
    return Row("firewall", "inet mdi", UNKNOWN if config.lab else FAIL, f"lab: {why}" if config.lab else why)
