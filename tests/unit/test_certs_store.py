"""The files of a gateway's keys: whatever is done, and wherever it breaks off, a pair that fits is in use."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.config import read_config
from gateway.core.errors import ConfigError
from gateway.security.certs.keys import public_of
from gateway.security.certs.store import Store
from gateway.security.certs.x509 import read_certificates
from gateway.security.policy import Facts
from gateway.security.policy.registry import judge
from tests.parts.pki import DAY, Pki
from tests.unit.test_certs import NOW

PKI = Pki(Path(tempfile.mkdtemp(prefix="mdi-pki-")))


def store_in(folder: Path) -> Store:
    return Store(str(folder / "gateway.pem"), str(folder / "gateway.key"))


def serial(store: Store) -> str:
    """Return the certificate in use, after seeing that its key fits and is its owner's only; "" for none."""
    if not store.cert.exists():
        return ""
    (cert,) = read_certificates(store.cert.read_bytes())
    assert public_of(store.key.read_bytes()) == cert.public
    assert stat.S_IMODE(store.key.stat().st_mode) == 0o400
    return cert.serial


class Break(Exception):
    """The power is cut."""


class StoreMachine(RuleBasedStateMachine):
    """The model: what is in use, and what the way back leads to."""

    @initialize(by_hand=st.booleans())
    def begin(self, by_hand: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mdi-store-"))
        self.store = store_in(self.folder)
        self.current = self.previous = ""
        if by_hand:
            pair = PKI.issue("hand", "gw-1")
            self.store.cert.write_bytes(pair.cert.read_bytes())
            self.store.key.write_bytes(pair.key.read_bytes())
            self.store.key.chmod(0o400)
            self.current = serial(self.store)

    @rule()
    def install(self) -> None:
        asked = self.store.make_key("gw-1", again=True)
        self.store.switch(self.store.prepare(PKI.answer(asked)))
        self.current, self.previous = serial(self.store), self.current

    @rule()
    def try_and_drop(self) -> None:
        asked = self.store.make_key("gw-1", again=True)
        self.store.drop(self.store.prepare(PKI.answer(asked)))

    @rule()
    def back(self) -> None:
        if self.previous:
            self.store.back()
            self.current, self.previous = self.previous, self.current
        else:
            with pytest.raises(ConfigError, match="no previous certificate"):
                self.store.back()

    @rule(after=st.integers(0, 12))
    def break_off_an_installation(self, after: int) -> None:
        """The power is cut after so many steps that a disk would see; what is in use is the old pair or the new one."""
        asked = self.store.make_key("gw-1", again=True)
        data = PKI.answer(asked)
        steps = iter(range(after))
        with pytest.MonkeyPatch.context() as patch:
            for name in ("replace", "rename"):
                patch.setattr(os, name, breaking(getattr(os, name), steps))
            try:
                self.store.switch(self.store.prepare(data))
            except Break:
                self.store = store_in(self.folder)
        now = serial(self.store)
        assert now in (self.current, read_certificates(data)[0].serial)
        self.current = now
        way_back = self.folder / "previous" / "gateway.pem"  # may be the one in use: then there is nothing to lose
        self.previous = read_certificates(way_back.read_bytes())[0].serial if way_back.exists() else ""

    @invariant()
    def what_is_in_use_is_the_model(self) -> None:
        if hasattr(self, "store"):
            assert serial(self.store) == self.current
            keys = [p for p in self.folder.rglob("*.key") if p.parent.name != "pending" and not p.is_symlink()]
            assert all(stat.S_IMODE(key.stat().st_mode) == 0o400 for key in keys)


def breaking(real: Callable[..., Any], steps: Any) -> Callable[..., Any]:
    def step(*given: Any, **more: Any) -> Any:
        if next(steps, None) is None:
            raise Break
        return real(*given, **more)

    return step


StoreMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=10, deadline=None)
TestStore = StoreMachine.TestCase


def test_files_that_were_put_there_by_hand_are_the_way_back(tmp_path: Path) -> None:
    pair, store = PKI.issue("by-hand", "gw-1"), store_in(tmp_path)
    store.cert.write_bytes(pair.cert.read_bytes())
    store.key.write_bytes(pair.key.read_bytes())
    store.key.chmod(0o400)
    before = serial(store)
    store.switch(store.prepare(PKI.answer(store.make_key("gw-1"))))
    assert serial(store) != before
    store.back()
    assert serial(store) == before


def test_a_key_that_waits_is_never_overwritten_silently(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    first = store.make_key("gw-1")
    key = (store.pending / "gateway.key").read_bytes()
    with pytest.raises(ConfigError, match="waits for its certificate already"):
        store.make_key("gw-1")
    assert (store.pending / "gateway.key").read_bytes() == key
    assert store.make_key("gw-1", again=True) != first
    assert stat.S_IMODE((store.pending / "gateway.key").stat().st_mode) == 0o400
    assert stat.S_IMODE(store.pending.stat().st_mode) == 0o700


# ---- the commands


def config_in(folder: Path, mode: str = "lab") -> Path:
    (folder / "certs").mkdir(mode=0o700)
    (folder / "certs" / "ca.pem").write_bytes(PKI.ca.read_bytes())
    text = (Path(__file__).parents[2] / "mdi_config.toml").read_text(encoding="utf-8")
    text = text.replace('mode = "production"', f'mode = "{mode}"').replace('"gw-ita-03"', '"gw-1"')
    text = text.replace("/etc/mdi/certs/broker-ca.pem", f"{folder}/certs/ca.pem").replace("/etc/mdi", str(folder))
    lines = f'[gateway]\nstate_dir = "{folder}/state"\nrun_dir = "{folder}/run"'
    path = folder / "mdi_config.toml"
    path.write_text(text.replace("[gateway]", lines, 1), encoding="utf-8")
    return path


def mdi(config: Path, *words: str, code: int = 0) -> Any:
    ended = CliRunner().invoke(app, ["certs", *words, "--config", str(config), "--json"])
    if isinstance(ended.exception, ConfigError):
        assert code == ended.exception.exit_code
        return str(ended.exception)
    assert ended.exit_code == code, ended.output
    return json.loads(ended.output)


def audited(folder: Path) -> str:
    return "".join(
        p.read_bytes().decode(errors="replace")
        for p in (folder / "state" / "audit").rglob("*")
        if p.is_file() and p.suffix != ".key"
    )


def test_from_the_request_to_the_certificate_by_the_commands(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    asked = mdi(config, "csr", "--out", str(tmp_path / "r.csr"))
    assert (tmp_path / "r.csr").read_text() == asked["pem"]
    assert "waits for its certificate already" in mdi(config, "csr", code=2)
    file = tmp_path / "answer.pem"

    def offered(data: bytes) -> str:
        file.write_bytes(data)
        refused = mdi(config, "install", str(file), code=2)
        assert not (tmp_path / "certs" / "gateway.pem").exists()
        return "" if isinstance(refused, str) else str(refused["refused"][0]["fault"])

    request = asked["pem"].encode()
    assert offered(PKI.answer(request, ends=-DAY / 2, begins=-DAY)) == "expired"
    assert offered(PKI.answer(request, begins=DAY)) == "not-yet-valid"
    assert offered(PKI.answer(request, cn="gw-2")) == "wrong-name"
    assert offered(PKI.answer(request, purpose="server")) == "wrong-usage"
    assert offered(Pki(tmp_path / "f", "Foreign").answer(request)) == "foreign-ca"
    assert offered(PKI.issue("own-key", "gw-1").cert.read_bytes()) == "key-mismatch"
    assert offered(b"rubbish") == ""
    file.write_bytes(PKI.answer(request))
    assert mdi(config, "install", str(file))["ok"]
    shown = mdi(config, "status")
    assert [c["role"] for c in shown["certificates"]] == ["gateway", "ca"]
    log = audited(tmp_path)
    assert [line for line in log.splitlines() if '"key_created"' in line and '"subject":"gw-1"' in line]
    assert log.count('"certificate_installed"') == 1
    assert log.count('"certificate_refused"') == 6
    assert "PRIVATE KEY" not in log + json.dumps(shown) + json.dumps(asked)
    assert "no previous certificate" in mdi(config, "rotate", "--back", code=2)
    assert "no key waits" in mdi(config, "install", str(file), code=2)


@pytest.mark.parametrize(
    ("key", "said", "given"),
    [
        ("[sink] cert", "has expired", {"ends": -DAY, "begins": -2 * DAY}),
        ("[sink] cert", "names gw-9, and not gw-1", {"cn": "gw-9"}),
        ("[sink] key", "others may read the private key", {"mode": 0o440}),
        ("", "", {}),
    ],
)
def test_the_policy_refuses_a_start_with_a_bad_certificate(
    tmp_path: Path, key: str, said: str, given: dict[str, Any]
) -> None:
    config = config_in(tmp_path, "production")
    mode = given.pop("mode", 0o400)
    pair = PKI.issue("policy", given.pop("cn", "gw-1"), **given)
    (tmp_path / "certs" / "gateway.pem").write_bytes(pair.cert.read_bytes())
    (tmp_path / "certs" / "gateway.key").write_bytes(pair.key.read_bytes())
    (tmp_path / "certs" / "gateway.key").chmod(mode)
    read = read_config(config)

    def broken(facts: Facts) -> list[str]:
        return [f"{v.key}: {v.why}" for v in judge(read, facts) if v.rule == "certificate"]

    found = broken(Facts(now=NOW, starting=True))
    assert len(found) == bool(said)
    assert said in "".join(found)
    assert key.rsplit(" ", maxsplit=1)[-1] in "".join(found)
    assert broken(Facts(now=NOW)) == []  # mdi check, by anybody: the key is not asked for
    assert broken(Facts(now=NOW, starting=True, roles=frozenset({"acquire"}))) == []
