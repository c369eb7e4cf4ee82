"""mdi certs csr, install, rotate, status: the keys and certificates of this gateway."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.certificates import table
from gateway.cli.output import out, print_json
from gateway.cli.run import DEFAULT, ConfigOption, JsonOption
from gateway.config import Config, read_config
from gateway.core.errors import ConfigError
from gateway.security.audit import Audit, AuditLog, Event
from gateway.security.certs.judge import Finding
from gateway.security.certs.keys import KIND
from gateway.security.certs.state import status
from gateway.security.certs.store import Store
from gateway.security.certs.x509 import read_certificates
from gateway.sinks.mqtt_settings import MqttSettings
from gateway.sinks.mqtt_trial import try_certificate
from gateway.status import read_live_status

app = typer.Typer(help="Keys and certificates of this gateway: who it is to the broker.", no_args_is_help=True)
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The certificate as the CA gave it back, PEM.")]
TAKEN_S = 60.0  # a running sender looks at the files each second; reconnecting takes some more
LOOK_S = 0.2
FINDINGS = 2  # exit code


@app.command()
def csr(
    config: ConfigOption = DEFAULT,
    again: Annotated[bool, typer.Option("--again", help="Make another key in place of the one that waits.")] = False,
    out_file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Also write the request here, for the CA.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a key pair on this box, and print the request for its certificate.

    The private key is an ECDSA key on P-256. It stays on this box, in the folder of [sink] cert, readable for its owner
    only; no command prints or copies it. The request names this gateway (CN and SAN) and goes to the region's CA. The
    key and certificate in use are not touched: `mdi certs rotate` changes over when the certificate is there.

    \b
    mdi certs csr --out gw-ita-03.csr
    """
    read = read_config(config)
    store, name = _store(read), read.gateway.name
    with _audit(read) as audit:
        asked = store.make_key(name, again)
        audit.write(Event.KEY_CREATED, name)
    if out_file:
        out_file.write_bytes(asked)
    if json:
        print_json({"ok": True, "name": name, "key": KIND, "request": str(store.request), "pem": asked.decode()})
        return
    typer.echo(asked.decode(), nl=False)
    typer.echo(f"have {store.request} signed, then: mdi certs rotate CERTIFICATE", err=True)


@app.command()
def install(file: FileArgument, config: ConfigOption = DEFAULT, json: JsonOption = False) -> None:
    """Install a certificate for the key that waits, without asking the broker: the first one of a new box.

    Checked before anything changes: that it fits the key, names this gateway, is valid now, is strong, is for use as a
    client, comes from the CA of [sink] ca, and is not revoked. Each has its own message, and the exit code is 2. Key
    and certificate change in one step; what was there before stays for `mdi certs rotate --back`.

    \b
    mdi certs install gw-ita-03.pem
    """
    read = read_config(config)
    with _audit(read) as audit:
        store, data = _store(read), _accepted(read, file, audit, json)
        store.switch(store.prepare(data))
        _installed(read, data, audit)
    _say(json, "installed", data, "a running gateway takes it within a second or two")


@app.command()
def rotate(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The certificate as the CA gave it back, PEM.")
    ] = None,
    config: ConfigOption = DEFAULT,
    back: Annotated[bool, typer.Option("--back", help="Go back to the key and certificate before.")] = False,
    json: JsonOption = False,
) -> None:
    """Change over to a new key and certificate, with nothing lost.

    Checked as by `mdi certs install`. Then a second connection is made with it, beside the one at work, and a test
    message is published to this gateway's own heartbeat topic. Only then key and certificate change, in one step. A
    running sender takes them by itself and reconnects; the spool keeps what comes meanwhile. When it is not connected
    with the new certificate within a minute, the old one is put back. Exit code 2: refused, and nothing has changed.

    \b
    mdi certs csr --out gw-ita-03.csr
    mdi certs rotate gw-ita-03.pem
    mdi certs rotate --back
    """
    read = read_config(config)
    store = _store(read)
    with _audit(read) as audit:
        if back:
            store.back()
            data = store.cert.read_bytes()
            _installed(read, data, audit)
            _say(json, "back", data, "the certificate before is in use again")
            return
        if file is None:
            raise ConfigError("which certificate?", hint="mdi certs rotate FILE, or --back")
        data = _accepted(read, file, audit, json)
        made = store.prepare(data)
        why = try_certificate(read.sink, _base(read), read.tls_rules, *_pair(store, made))
        if why:
            store.drop(made)
            _refused(read, data, audit, "trial")
            raise ConfigError(f"not changed: {why}", f"trial with {file}", "the certificate in use stays")
        store.switch(made)
        took_s = _taken(read, data)
        if took_s is None:
            store.back()
            _refused(read, data, audit, "not-connected")
            hint = "the certificate before is back; look at: mdi status"
            raise ConfigError(f"the sender is not connected with it after {TAKEN_S:.0f} s", str(file), hint)
        _installed(read, data, audit)
    said = f"the sender is connected with it after {took_s:.1f} s" if took_s else "no sender runs here now"
    _say(json, "rotated", data, said)


@app.command("status")
def status_command(config: ConfigOption = DEFAULT, json: JsonOption = False) -> None:
    """Show all certificates of this gateway: whose, from whom, key, days left, and what is wrong.

    The broker's own is shown as the running sender has seen it. Warnings begin 60 days before the end, and again at 30,
    14 and 7. The exit code is 0 when all are good, 2 when something is wrong or over.

    \b
    mdi certs status
    mdi certs status --json | jq .certificates[].days_left
    """
    read = read_config(config)
    states = [s.as_dict() for s in status(read, datetime.now(UTC))] + _seen(read)
    wrong = [fault for state in states for fault in state["faults"]]
    if json:
        print_json({"ok": not wrong, "policy": str(read.tls_rules), "certificates": states})
    else:
        out.print(f"policy: {read.tls_rules}", highlight=False)
        table(states)
    if wrong:
        raise typer.Exit(FINDINGS)


def _seen(config: Config) -> list[dict[str, Any]]:
    broker = read_live_status(config).get("forward", {}).get("tls", {}).get("broker")
    return [broker] if broker else []


def _store(config: Config) -> Store:
    sink = config.sink
    if not isinstance(sink, MqttSettings) or not sink.cert or not sink.ca:
        raise ConfigError("[sink] names no certificate", str(config.path), "write ca, cert and key")
    return Store(sink.cert, sink.key)


def _audit(config: Config) -> AuditLog:
    return AuditLog.open(Path(config.gateway.state_dir) / "audit", "admin", config.gateway.name)


def _base(config: Config) -> str:
    g = config.gateway
    return f"mdi/v1/{g.site}/{g.unit}/{g.name}"


def _pair(store: Store, made: Path) -> tuple[str, str]:
    return str(made / store.cert.name), str(made / store.key.name)


def _accepted(config: Config, file: Path, audit: Audit, json: bool) -> bytes:
    """Return the certificate when all is right with it. Raises: ConfigError with the first that is not, typer.Exit."""
    data, sink = file.read_bytes(), config.sink
    wrong = _store(config).judge(data, config.gateway.name, sink.ca, sink.crl, datetime.now(UTC))
    if not wrong:
        return data
    _refused(config, data, audit, wrong[0].fault.value)
    if json:
        print_json({"ok": False, "refused": [_as_dict(finding) for finding in wrong]})
        raise typer.Exit(FINDINGS)
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    raise ConfigError(wrong[0].text + more, str(file), wrong[0].hint)


def _as_dict(finding: Finding) -> dict[str, str]:
    return {"fault": finding.fault.value, "text": finding.text, "hint": finding.hint}


def _installed(config: Config, data: bytes, audit: Audit) -> None:
    cert = read_certificates(data)[0]
    audit.write(
        Event.CERTIFICATE_INSTALLED,
        config.gateway.name,
        fingerprint=cert.sha256,
        not_after=cert.not_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
        use="client",
    )


def _refused(config: Config, data: bytes, audit: Audit, rule: str) -> None:
    fingerprint = read_certificates(data)[0].sha256
    audit.write(Event.CERTIFICATE_REFUSED, config.gateway.name, fingerprint=fingerprint, rule=rule, use="client")


def _taken(config: Config, data: bytes) -> float | None:
    """Wait until the running sender is connected with it; return seconds, 0 when none runs, None when it is not."""
    wanted, began = read_certificates(data)[0].sha256, time.monotonic()
    while True:
        forward = read_live_status(config).get("forward", {})
        if not forward.get("alive"):
            return 0.0
        connected = forward["sink"].startswith("connected") and forward["tls"].get("own_sha256") == wanted
        if connected:
            return time.monotonic() - began
        if time.monotonic() - began > TAKEN_S:
            return None
        time.sleep(LOOK_S)


def _say(json: bool, what: str, data: bytes, more: str) -> None:
    cert = read_certificates(data)[0]
    if json:
        print_json({"ok": True, what: cert.subject, "sha256": cert.sha256, "not_after": cert.not_after.isoformat()})
    else:
        out.print(f"{what}: {cert.subject}, valid until {cert.not_after:%Y-%m-%d}; {more}", highlight=False)
