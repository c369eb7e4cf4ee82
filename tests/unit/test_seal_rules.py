"""The rules about the key of the disk: asked by the sender at its start, and by nobody else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config import Config, read_config
from gateway.security.policy import Facts, violations
from gateway.security.seal import CREDENTIAL
from gateway.security.seal.protection import IN_MEMORY, file_system
from tests.unit.test_keeping import KEY, Box

STARTING = Facts(roles=frozenset({"forward"}), starting=True)
MEMORY = Path("/dev/shm")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    box = Box(tmp_path / "box")
    box.furnish()
    return read_config(box.config)


@pytest.fixture
def in_memory() -> Iterator[Path]:
    folder = MEMORY / f"mdi-test-{os.getpid()}"
    folder.mkdir(mode=0o700)
    (folder / CREDENTIAL).write_bytes(KEY)
    yield folder
    shutil.rmtree(folder)


def broken(config: Config, facts: Facts = STARTING) -> list[str]:
    return [str(v) for v in violations(config, facts) if v.rule.startswith("seal-")]


def test_no_key_is_one_violation_that_says_how_to_make_it(config: Config) -> None:
    (told,) = broken(config)
    assert "there is no key to seal what waits there [seal-key] → make one: dd " in told
    assert "systemd-creds encrypt" in told
    assert f"{config.path}:" in told
    assert broken(config, Facts(roles=frozenset({"acquire"}), starting=True)) == []
    assert broken(config, Facts(roles=frozenset({"forward"}))) == [], "mdi check cannot see the sender's credentials"


def test_a_key_of_the_wrong_length_is_a_violation(
    config: Config, in_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(in_memory))
    (in_memory / CREDENTIAL).chmod(0o400)
    assert broken(config) == []
    (in_memory / CREDENTIAL).chmod(0o644)
    (told,) = broken(config)
    assert "everybody on this machine can read the key" in told
    (in_memory / CREDENTIAL).write_bytes(KEY[:31])
    assert any("a key has 32 bytes, this one 31" in told for told in broken(config))


def test_a_key_on_a_disk_is_a_violation(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if file_system(tmp_path) in IN_MEMORY:
        pytest.skip("the temporary folder of this machine lies in memory")
    (tmp_path / CREDENTIAL).write_bytes(KEY)
    (tmp_path / CREDENTIAL).chmod(0o400)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (told,) = broken(config)
    assert "the key is a file on disk" in told
    assert "[seal-key-memory]" in told
