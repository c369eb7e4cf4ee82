"""A backup leaks: somebody has the whole file, from a stick or a share, and all the time in the world.

Expected: no key, no password and no message is in it, whatever the files were called; and what he writes into a copy
and gives back is refused by the digest that its maker was told, or gives nobody a right.
"""

from __future__ import annotations

import base64
import io
import json
import tarfile
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.core.errors import ConfigError
from gateway.security.onboard.standing import read_trust, standing
from gateway.security.seal import backup
from gateway.security.trust.minisign import SecretKey
from tests.parts.onboarding import Ward
from tests.unit.test_keeping import Box, wait_in

PASSWORD = b"blaabaergroed-42"
SEAL = bytes(range(7, 39))


def keys() -> dict[str, bytes]:
    """Every form in which a key lies on a disk, each under a name that says nothing."""
    key = ec.generate_private_key(ec.SECP256R1())
    plain, locked = NoEncryption(), BestAvailableEncryption(PASSWORD)
    return {
        "certs/one.pem": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, plain),
        "certs/two.txt": key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, plain),
        "certs/three.bin": key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, plain),
        "certs/four.bin": key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, locked),
        "certs/five": key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, plain),
        "certs/six.dat": pkcs12.serialize_key_and_certificates(b"gw", key, None, None, locked),
        "trust/seven": key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, plain),
        "trust/eight": SecretKey.generate().text().encode(),
        "mdi-seal": SEAL,
        "broker.password": PASSWORD,
    }


@pytest.fixture
def loot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, bytes], str]:
    """The backup of a furnished box with messages waiting, the secrets that lay beside, and its digest."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    box, secrets = Box(tmp_path / "box"), keys()
    box.furnish()
    for name, data in secrets.items():
        box.file(f"etc/mdi/{name}", data)
    wait_in(box.spool, None)
    file = tmp_path / "gw.mdibackup"
    made = CliRunner().invoke(app, ["backup", str(file), "--config", str(box.config), "--json"])
    assert made.exit_code == 0, made.output
    return file, secrets, json.loads(made.stdout)["sha256"]


def test_no_key_no_password_and_no_message_is_in_it(loot: tuple[Path, dict[str, bytes], str]) -> None:
    file, secrets, _ = loot
    raw = file.read_bytes()
    for name, secret in secrets.items():
        for coded in (secret, base64.b64encode(secret)[:-4], secret.hex().encode()):
            assert coded not in raw, name
    assert b"MSH|" not in raw
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        names = tar.getnames()
    assert not [name for name in names if "spool" in name or name.removeprefix("etc/") in secrets]
    assert [name for name in names if name.endswith("gw.crt")]  # what is no secret is there: it is a backup


def changed(file: Path, name: str, data: bytes) -> Path:
    """Return a copy in which one file is another one, with a manifest to fit: anybody can make it."""
    kept = backup.read(file)
    files = {**kept.files, name: data}
    told = backup.manifest(kept.manifest.gateway, kept.manifest.version, kept.manifest.made, files, ())
    copy = file.with_suffix(".copy")
    copy.write_bytes(backup.archive(files, told))
    return copy


def test_a_copy_that_was_changed_is_refused_by_its_digest(loot: tuple[Path, dict[str, bytes], str]) -> None:
    file, _, digest = loot
    copy = changed(file, "etc/trust/root.pub", b"untrusted comment: mine\n")
    assert backup.read(copy).files["etc/trust/root.pub"].endswith(b"mine\n")
    with pytest.raises(ConfigError, match="it is not the backup that was made"):
        backup.read(copy, digest)
    data = bytearray(file.read_bytes())  # or without the trouble of a manifest
    data[data.index(b"[[person]]")] ^= 1
    copy.write_bytes(data)
    with pytest.raises(ConfigError, match="is not as its manifest says"):
        backup.read(copy)


def test_what_he_writes_into_a_copy_gives_nobody_a_right(tmp_path: Path) -> None:
    """He makes himself an approver in the copy; restored, the list of people is not the one that was signed."""
    ward = Ward(tmp_path)
    ward.approve()
    assert ward.one().may_open
    etc = Path(ward.config.security.etc_dir)
    found, _ = backup.collect({"etc": etc})
    file = tmp_path / "gw.mdibackup"
    file.write_bytes(backup.archive(found, backup.manifest("gw", "1", "", found, ())))
    people = found["etc/trust/approvers.toml"].replace(b"mso", b"eve")
    assert people != found["etc/trust/approvers.toml"]
    copy = backup.read(changed(file, "etc/trust/approvers.toml", people))
    steps = backup.plan(copy, {"etc": etc})
    backup.restore(copy, steps, "before")
    assert sha256((etc / "trust/approvers.toml").read_bytes()).digest() == sha256(people).digest()
    trust, why = read_trust(ward.config, ward.now)  # as the gateway does
    assert trust is None
    assert "was changed after it was signed" in why
    assert not standing(ward.config, trust, ward.now)["pump"].may_open


def test_a_manifest_that_is_something_else_is_refused(tmp_path: Path) -> None:
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w") as tar:
        member = tarfile.TarInfo(backup.MANIFEST)
        data = msgspec.json.encode({"format": "another"})
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    path = tmp_path / "x"
    path.write_bytes(into.getvalue())
    with pytest.raises(ConfigError):
        backup.read(path)
