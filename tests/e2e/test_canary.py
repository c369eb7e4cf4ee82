"""CPR numbers, names and texts of devices through every input of real processes; then every output is searched.

inputs     bytes of devices, acknowledgements, MQTT payloads and topics, comments of the configuration, file names,
           requests to the pages and to the admin socket
outputs    logs of gateway, KITA, pages and administration, their answers, status, metrics, reports, the dossier, audit
           log and its export, topics, names of files, a crash
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway.config import read_config
from gateway.core.errors import MdiError
from gateway.security.access.client import ask
from gateway.simulate import Pty
from gateway.status import read_status
from tests.parts import canary
from tests.parts.broker import HOST, Mosquitto
from tests.parts.wait import wait_until

pytestmark = pytest.mark.e2e
BASE = "mdi/v1/auh/ita/gw-test"
CONFIG = """
# {comment}
[security]
mode = "lab"
etc_dir = "{folder}/etc"
[access]
socket = "{folder}/run/admin.sock"
administrators = ["0"]
per_minute = 6000
[web]
socket = "{folder}/run/web.sock"
[gateway]
name = "gw-test"
eui64 = "0011223344556677"
site = "auh"
unit = "ita"
facility = "AUH"
state_dir = "{folder}/state"
run_dir = "{folder}/run"
[forward]
ack_timeout_s = 1.0
[spool]
segment_mib = 1
limit_mib = 16
[sink]
kind = "mqtt"
host = "127.0.0.1"
port = {port}
[[route]]
interval_s = 0.0
[[port]]
name = "scale-line"
driver = "ward_scales"
link = {{ kind = "serial", device = "{folder}/scale", baud = 9600 }}
[[port.device]]
name = "scale"
profile = "health_o_meter/proplus"
experimental = true
eui64 = "0009FBFFFE012301"
[[port]]
name = "analyser-line"
driver = "astm_e1381"
link = {{ kind = "serial", device = "{folder}/analyser", baud = 9600 }}
[[port.device]]
name = "analyser"
profile = "roche/cobas_c111"
experimental = true
eui64 = "0009FBFFFE012302"
[[port]]
name = "monitor-line"
driver = "philips_intellivue"
link = {{ kind = "serial", device = "{folder}/monitor", baud = 115200 }}
[[port.device]]
name = "monitor"
profile = "philips/intellivue_mp"
eui64 = "0009FBFFFE012303"
"""
LINES = ("scale", "analyser", "monitor")


class Ward:
    """A broker, a gateway that says all it can, KITA, and everybody else who speaks to them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._running = folder, ExitStack()
        (folder / "broker").mkdir()
        self.broker = Mosquitto(folder / "broker")
        self._running.callback(self.broker.stop)
        comment = " ".join(canary.ALL)
        self.path = folder / "mdi_config.toml"
        self.path.write_text(CONFIG.format(folder=folder, port=self.broker.port, comment=comment), encoding="utf-8")
        self.config = read_config(self.path)
        self.lines = {name: self._running.enter_context(Pty(folder / name)) for name in LINES}
        self.topics: list[str] = []
        self.client = Client(CallbackAPIVersion.VERSION2, client_id="other", protocol=MQTTProtocolVersion.MQTTv5)
        self.client.on_message = lambda _c, _u, message: self.topics.append(message.topic)
        self.client.connect(HOST, self.broker.port)
        self.client.subscribe(BASE + "/#", qos=1)
        self.client.loop_start()
        self._running.callback(self.client.loop_stop)
        self.start("kita", "kita", "run", "--database", str(folder / "kita.db"), "--port", str(self.broker.port))

    def start(self, name: str, *arguments: str, program: str = "") -> subprocess.Popen[bytes]:
        command = ["-c", program] if program else ["-m", "gateway.cli.app"]
        with (self.folder / f"{name}.log").open("ab") as output:
            process = subprocess.Popen([sys.executable, *command, *arguments], stdout=output, stderr=subprocess.STDOUT)
        self._running.callback(process.wait, 30)
        self._running.callback(process.terminate)
        return process

    def mdi(self, *arguments: str) -> str:
        """What a command says."""
        command = [sys.executable, "-m", "gateway.cli.app", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        return done.stdout + done.stderr

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        self._running.close()


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    folder = tmp_path_factory.mktemp("canary")
    ward = Ward(folder)
    try:
        gateway = ward.start("gateway", "--verbose", "run", "--config", str(ward.path))
        wait_until(lambda: "forward" in read_status(ward.config), lambda: ward.log("gateway"), 60)
        wait_until(lambda: f"{BASE}/status" in ward.topics, lambda: ward.log("gateway"), 60)
        for name, *words in (("administration", "admin", "serve"), ("pages", "web", "serve")):
            ward.start(name, *words, "--config", str(ward.path))
        for socket_ in ("admin.sock", "web.sock"):
            wait_until(
                lambda name=socket_: (folder / "run" / name).is_socket(),  # type: ignore[misc]
                lambda: ward.log("administration") + ward.log("pages"),
                60,
            )
        for feed in INPUTS.values():
            feed(ward)
        bad = "acks_malformed"
        wait_until(
            lambda: read_status(ward.config)["forward"]["sink_counters"][bad] > 3, lambda: ward.log("gateway"), 60
        )
        wait_until(lambda: heard(ward), lambda: ward.log("gateway"), 60)
        ward.status = ward.mdi("status", "--config", str(ward.path), "--json")  # type: ignore[attr-defined]
        ward.metrics = ward.mdi("metrics", "--config", str(ward.path))  # type: ignore[attr-defined]
        ward.pages = "".join(pages(ward, path).text for path in ("/", "/?lang=en"))  # type: ignore[attr-defined]
        ward.verbs = "".join(map(str, asked(ward)))  # type: ignore[attr-defined]
        gateway.send_signal(signal.SIGTERM)
        gateway.wait(60)
        yield ward
    finally:
        ward.close()


def malformed(ward: Ward) -> int:
    return int(read_status(ward.config)["forward"]["sink_counters"]["acks_malformed"])


def heard(ward: Ward) -> bool:
    return all(port["bytes_in"] > 500 for port in read_status(ward.config)["acquire"]["ports"])


# ---- inputs: each drives all canaries through one way in


def devices(ward: Ward) -> None:
    for secret in canary.ALL:
        for line in ward.lines.values():
            line.write(b"\x1bR\x1bI" + secret.encode() + b"\x1bW090.98\x1bH178.70\x1bNm\x1bE")
            line.write(b"\x05\x021H|\\^&|||" + secret.encode() + b"^x\rP|1|" + secret.encode() + b"\r\x0300\r\n\x04")
            line.write(secret.encode("utf-16-be") + b"\xc0" + secret.encode() + b"\xc1\r\n")


def acknowledgements(ward: Ward) -> None:
    for secret in canary.ALL:
        for payload in (
            secret,
            f"MSH|^~\\&|K|R|MDIGW|AUH|20260101||{secret}|1|P|2.6\rMSA|AA|x\r",
            f"MSH|^~\\&|K|R|MDIGW|AUH|20260101||ACK|1|P|2.6\rMSA|{secret}|{secret}|{secret}\rERR||{secret}|103|E||||{secret}\r",
            f"MSH|^~\\&|K|R|MDIGW|AUH|20260101||ACK|1|P|2.6\rMSA|AE|{secret}|{secret}\rERR||PID^1|{secret}|E|||{secret}|{secret}\r",
        ):
            ward.client.publish(f"{BASE}/down/ack", payload.encode(), qos=1).wait_for_publish(10)


def payloads(ward: Ward) -> None:
    """What KITA gets of somebody who is no gateway, or a sick one."""
    for secret in canary.ALL:
        head = f"MSH|^~\\&|{secret}|AUH|KITA|RM|20260101||ORU^R01^ORU_R01|{secret}|T|2.6"
        for payload in (secret, f"{head}\rPID|1||{secret}||{secret}\rOBX|1|NM|{secret}||{secret}\r"):
            ward.client.publish(f"{BASE}/up/oru-r01", payload.encode(), qos=1).wait_for_publish(10)


def topics(ward: Ward) -> None:
    for secret in (*canary.CPRS, "jens-soerensen"):
        ward.client.publish(f"mdi/v1/auh/ita/{secret}/up/{secret}", secret.encode(), qos=1).wait_for_publish(10)


def file_names(ward: Ward) -> None:
    for secret in canary.CPRS:
        ward.start("names", "decode", str(ward.folder / "none" / f"{secret}.mdirec")).wait(60)
    (ward.folder / "names.log").unlink()  # a person has typed it and reads the answer: the terminal is not a log


def pages(ward: Ward, path: str, **request: Any) -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(ward.folder / "run/web.sock")), timeout=30) as client:
        return client.request(request.pop("method", "GET"), f"http://localhost{path}", **request)


def requests_for_pages(ward: Ward) -> None:
    """In the path, the query, each header that a program looks at, as a body, as a method."""
    for secret in canary.ALL:
        quoted = quote(secret)
        headers = dict.fromkeys(("User-Agent", "Referer", "X-Remote-User", "Cookie", "Accept-Language"), quoted)
        pages(ward, f"/{quoted}?lang={quoted}&{quoted}={quoted}", headers=headers)
        pages(ward, f"/?lang={quoted}", method="POST", content=secret.encode())
        pages(ward, "/", method=re.sub(r"\W", "", secret.encode("ascii", "ignore").decode()))
        pages(ward, "/", headers={"Host": re.sub(r"[^\w.-]", "", quoted)})
    with socket.socket(socket.AF_UNIX) as raw:  # what is no HTTP at all
        raw.connect(str(ward.folder / "run/web.sock"))
        raw.sendall(" ".join(canary.ALL).encode() + b"\r\n\r\n")
        raw.shutdown(socket.SHUT_WR)
        while raw.recv(4096):
            pass


def requests_for_verbs(ward: Ward) -> None:
    """As verb, as argument, as its name, as no request; a person's number also as the reason that is kept."""
    path = ward.folder / "run/admin.sock"
    for secret in canary.ALL:
        asks: list[tuple[str, dict[str, str]]] = [(secret, {secret: secret}), ("status", {secret: secret})]
        asks += [("suspend", {"asset": secret, "reason": "x"}), ("approve", dict.fromkeys(APPROVE, secret))]
        if secret in canary.CPRS:
            asks.append(("suspend", {"asset": "scale", "reason": f"is {secret}"}))
        for verb, args in asks:
            with suppress(MdiError):
                ask(path, verb, args)
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(path))
            raw.sendall(secret.encode() + b"\n")
            raw.recv(4096)


APPROVE = ("asset", "rev", "signature")
VIEWS = ("whoami", "verbs", "status", "devices", "certificates", "signatures", "audit")


def asked(ward: Ward) -> Iterator[Any]:
    """What each verb that only looks answers."""
    for verb in VIEWS:
        for args in ({}, {"since": "1h"}):
            with suppress(MdiError):
                yield ask(ward.folder / "run/admin.sock", verb, args)


INPUTS: dict[str, Callable[[Ward], None]] = {
    "bytes of devices": devices,
    "acknowledgements": acknowledgements,
    "payloads": payloads,
    "topics": topics,
    "names of files": file_names,
    "requests for pages": requests_for_pages,
    "requests for verbs": requests_for_verbs,
}


# ---- outputs: each returns all that can be read there


def folder_names(ward: Ward) -> str:
    return "\n".join(
        str(p.relative_to(ward.folder)) for where in ("state", "run") for p in (ward.folder / where).rglob("*")
    )


def audit_log(ward: Ward) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in (ward.folder / "state/audit").rglob("*.json*"))


def small_files(ward: Ward) -> str:
    """All that the gateway leaves in its folders, but rings and spool: these hold samples and messages by purpose."""
    found = ""
    for where in ("state", "run"):
        for path in (ward.folder / where).rglob("*"):
            if path.is_file() and not {"spool", "rings"} & set(path.parts):
                found += path.read_bytes().decode("utf-8", "replace")
    return found


def messages(ward: Ward) -> str:
    """Who the patient is never travels: what the gateway has put into its spool knows nobody."""
    return "".join(
        p.read_bytes().decode("utf-8", "replace") for p in (ward.folder / "state/spool").rglob("*") if p.is_file()
    )


def of_config(*command: str) -> Callable[[Ward], str]:
    return lambda ward: ward.mdi(*command, "--config", str(ward.path))


def dossier(lang: str) -> Callable[[Ward], str]:
    def made(ward: Ward) -> str:
        page = ward.folder / f"dossier-{lang}.html"
        said = ward.mdi("onboard", "report", "--out", str(page), "--lang", lang, "--config", str(ward.path))
        return said + page.read_text(encoding="utf-8")

    return made


OUTPUTS: dict[str, Callable[[Ward], str]] = {
    "log of the pages": lambda ward: ward.log("pages"),
    "log of the administration": lambda ward: ward.log("administration"),
    "pages": lambda ward: ward.pages,  # type: ignore[attr-defined]
    "answers of the administration": lambda ward: ward.verbs,  # type: ignore[attr-defined]
    "dossier": dossier("da"),
    "dossier in English": dossier("en"),
    "selfcheck": of_config("security", "selfcheck"),
    "onboarding": of_config("onboard", "status"),
    "log of the gateway": lambda ward: ward.log("gateway"),
    "log of KITA": lambda ward: ward.log("kita"),
    "status": lambda ward: ward.status,  # type: ignore[attr-defined]
    "metrics": lambda ward: ward.metrics,  # type: ignore[attr-defined]
    "audit log": audit_log,
    "audit show": of_config("audit", "show"),
    "audit export": of_config("audit", "export"),
    "report of the month": of_config("report", "month", time.strftime("%Y-%m")),
    "rejected messages": of_config("spool", "rejected", "list"),
    "spool": of_config("spool", "ls"),
    "check": of_config("check"),
    "topics of the gateway": lambda ward: "\n".join(t for t in ward.topics if "/up/" not in t),
    "names of files": folder_names,
    "small files": small_files,
    "messages": messages,
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_nothing_of_a_person_comes_out(ward: Ward, name: str) -> None:
    said = OUTPUTS[name](ward)
    assert said.strip() or name == "names of files", "an output that says nothing proves nothing"
    assert canary.leaks(said) == []


CRASH = """
import sys, gateway.{module} as module
def broken(*_a, **_k): raise ValueError({secret!r})
module.{what} = broken
sys.argv = ["mdi", {options} "run", "--config", {path!r}]
from gateway.cli.app import main
main()
"""


@pytest.mark.parametrize("options", ["", "'--log-json',"])
@pytest.mark.parametrize(
    ("module", "what"), [("forward", "Forwarder.step"), ("port", "Port._round"), ("serve", "_Service.look")]
)
def test_a_crash_shows_where_and_not_what(ward: Ward, module: str, what: str, options: str) -> None:
    """A bug for real, in each kind of thread: the trace names file and line, the text of the exception stays inside."""
    secret = " ".join(canary.ALL)
    program = CRASH.format(module=module, what=what, secret=secret, options=options, path=str(ward.path))
    name = f"crash-{module}-{bool(options)}"
    process = ward.start(name, program=program)
    wait_until(lambda: "ValueError" in ward.log(name), lambda: ward.log(name), 60)
    process.terminate()
    process.wait(60)
    assert "in broken" in ward.log(name)
    assert canary.leaks(ward.log(name)) == []
    assert os.path.exists(ward.folder / "state/audit/run")
