"""A gateway with people, one or two devices and their papers: what a test of onboarding needs, on real files.

ward = Ward(tmp_path)                 production; two devices on one line, each with a record that names it
ward.approve("A-1")                   submit, and two signatures
ward.standing()["pump"].state
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway.config import Config, read_config
from gateway.core.frame import Identified
from gateway.security.onboard import actions, approval
from gateway.security.onboard.journal import moment
from gateway.security.onboard.life import Step
from gateway.security.onboard.observed import Observed, read_observed, write_observed
from gateway.security.onboard.record import read_record
from gateway.security.onboard.standing import Standing, standing
from gateway.security.trust.people import Trust
from tests.conftest import ROOT
from tests.parts.trust import Hospital

HEAD = """
[security]
mode = "{mode}"
etc_dir = "{folder}/etc"
on_firmware_drift = "{drift}"
[gateway]
name = "gw"
eui64 = "0011223344556677"
site = "auh"
unit = "ita"
facility = "AUH"
processing_id = "T"
state_dir = "{folder}/state"
run_dir = "{folder}/run"
profiles = ["{folder}/profiles"]
[sink]
kind = "file"
directory = "{folder}/out"
[[route]]
interval_s = 0.0
[[zone]]
name = "bed"
title = "{title}"
[[conduit]]
name = "line"
zone = "bed"
kind = "tcp"
host = "127.0.0.0/28"
port = 7000
why = "{why}"
[[conduit]]
name = "line2"
zone = "bed"
kind = "tcp"
host = "127.0.0.0/28"
port = 7001
why = "the second line"
[[conduit]]
name = "other"
zone = "bed"
kind = "tcp"
host = "127.0.1.2"
port = 7000
why = "{other}"
[[conduit]]
name = "out"
zone = "bed"
kind = "file"
device = "{folder}/out"
why = "messages"
"""
DEVICE = """
[[port]]
name = "{line}"
driver = "ascii_line"
ring_rows = {rows}
link = {{ kind = "tcp", host = "{host}", port = {tcp} }}
[[port.device]]
name = "{name}"
profile = "ledger/counter"
eui64 = "00112233445566{number:02X}"
location = {{ unit = "ITA", room = "1", bed = "{bed}", facility = "AUH" }}
"""
RECORD = """
[device]
asset = "{asset}"
maker = "Ærø Apparater"
model = "Counter"
serial = "SN-{asset}"
firmware = "{firmware}"
location = "ITA, stue 1"
purpose = "Counts"
mdr_class = "IIb"
data = ["vital signs"]
says_model = "C1"
[owners]
clinical = "ITA"
medico = "Medicoteknik"
it = "Drift"
[use]
device = "{device}"
port = "{port}"
conduits = ["{port}", "out"]
[review]
next = "{review}"
risks = {risks}
{more}
"""
RISK = """
title = "No authentication on the line"
owner = "ITA"
reason = "{reason}"
control = "The line is one metre, in a locked room"
expires = "{expires}"
"""


class Ward:
    """See the module text. given: mode, drift, and the texts and numbers of HEAD."""

    def __init__(self, folder: Path, devices: tuple[str, ...] = ("pump",), **given: object) -> None:
        self.folder, self.devices = folder, devices
        self.etc_dir = folder / "etc"
        self.people = Hospital(self.etc_dir)
        self.now = datetime(2026, 6, 1, 12, tzinfo=UTC)
        self.given: dict[str, object] = {
            "mode": "production",
            "drift": "flag",
            "title": "Beds",
            "why": "it is the line",
        }
        self.given |= {"other": "another", "rows": 1024, "host": "127.0.0.1", "bed": "1", **given}
        profile = (ROOT / "tests/faults/profiles/ledger/counter.toml").read_text(encoding="utf-8")
        (folder / "profiles/ledger").mkdir(parents=True)
        self.profile_path = folder / "profiles/ledger/counter.toml"
        self.profile_path.write_text(profile, encoding="utf-8")
        (self.etc_dir / "devices.d").mkdir()
        (self.etc_dir / "risks").mkdir()
        for number, device in enumerate(devices, 1):
            self.record(f"A-{number}", device, port="line" if number == 1 else f"line{number}")

    # ---- what people write

    @property
    def config(self) -> Config:
        text = HEAD.format(folder=self.folder, **self.given)
        for number, name in enumerate(self.devices, 1):
            line, tcp = "line" if number == 1 else f"line{number}", 6999 + number
            text += DEVICE.format(name=name, number=number, line=line, tcp=tcp, **self.given)
        path = self.folder / "mdi_config.toml"
        path.write_text(text, encoding="utf-8")
        return read_config(path)

    def record(self, asset: str, device: str = "pump", **given: str) -> Path:
        usual = {"firmware": "1.0", "review": "2027-06-01", "risks": "[]", "more": "", "port": "line"}
        path = self.etc_dir / "devices.d" / f"{asset}.toml"
        path.write_text(RECORD.format(asset=asset, device=device, **(usual | given)), encoding="utf-8")
        read_record(path)
        return path

    def risk(self, name: str, expires: str = "2027-01-01", reason: str = "nothing better") -> None:
        path = self.etc_dir / "risks" / f"{name}.toml"
        path.write_text(RISK.format(expires=expires, reason=reason), encoding="utf-8")

    def submit(self, asset: str = "A-1", by: str = "lev", **given: str) -> int:
        return actions.submit(self.config, self.trust, asset, by, self.now, **given).rev

    def sign(self, asset: str, rev: int, *names: str) -> None:
        for name in names:
            path = approval.request_path(self.etc_dir, asset, rev)
            text = self.people.sign(name, path.read_bytes(), "purpose=approval")
            path.with_name(f"{rev}.{name}.minisig").write_text(text, encoding="utf-8")

    def approve(self, asset: str = "A-1") -> int:
        rev = self.submit(asset)
        self.sign(asset, rev, "mso", "jkr")
        return rev

    def hand(self, step: Step, asset: str = "A-1", by: str = "tni") -> Standing:
        """One person on the box."""
        self.later(seconds=1)
        return actions.by_hand(self.config, self.trust, asset, step, by, "fordi", self.now)

    def says(self, device: str = "pump", firmware: str = "1.0", model: str = "C1", serial: str = "") -> None:
        """The running gateway has seen this."""
        state_dir = self.folder / "state"
        one = Observed.of(Identified("Ærø", model, firmware, serial), moment(self.now))
        write_observed(state_dir, read_observed(state_dir) | {device: one})

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)

    # ---- what becomes of it

    @property
    def trust(self) -> Trust:
        return Trust.read(self.etc_dir, self.now)

    def standing(self, config: Config | None = None) -> dict[str, Standing]:
        return standing(config or self.config, self.trust, self.now)

    def one(self) -> Standing:
        return self.standing()["pump"]
