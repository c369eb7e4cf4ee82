"""A region's people with their keys, and a folder of trust signed by two root keys: what a production gateway has.

people = Hospital(tmp_path / "etc")
text = people.sign("mso", data, "purpose=… file=… rev=1 valid_until=2099-12-31")
Trust.read(people.etc_dir, people.now)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.config import Config
from gateway.security.trust.minisign import SecretKey, sign
from gateway.security.trust.signed import digest

ROLE = {
    "mso": "it-security",
    "jkr": "medico",
    "abe": "clinical",
    "tni": "operations",
    "lev": "supplier",
    "its": "it-security",
    "release-1": "release",
}
FOREVER = "2099-12-31"


@dataclass(frozen=True)
class Entry:
    """How one person stands in the list; what a test changes."""

    name: str
    role: str
    valid_from: str = "2020-01-01"
    valid_to: str = FOREVER
    revoked: str = ""


class Hospital:
    """Keys of people and roots, and the files that a gateway reads."""

    def __init__(self, etc_dir: Path, roots: int = 2) -> None:
        self.etc_dir = etc_dir
        self.folder = etc_dir / "trust"
        self.now = datetime.now(UTC)
        self.keys = {name: SecretKey.generate() for name in ROLE}
        self.roots = [SecretKey.generate() for _ in range(roots)]
        self.folder.mkdir(parents=True, exist_ok=True)
        for number, key in enumerate(self.roots, 1):
            (self.folder / f"root{number if number > 1 else ''}.pub").write_text(key.public.text)
        self.write()

    def write(
        self, entries: list[Entry] | None = None, rev: int = 1, threshold: int = 2, valid_until: str = FOREVER
    ) -> None:
        """Write the list of people, signed by the roots."""
        entries = [Entry(name, role) for name, role in ROLE.items()] if entries is None else entries
        text = f"rev = {rev}\nthreshold = {threshold}\n"
        for e in entries:
            text += f'\n[[person]]\nname = "{e.name}"\ntitle = "{e.name} Sørensen"\nrole = "{e.role}"\n'
            text += f'key = "{self.keys[e.name].public.line}"\nvalid_from = {e.valid_from}\nvalid_to = {e.valid_to}\n'
            text += f"revoked = {e.revoked}\n" if e.revoked else ""
        self.put(text.encode(), f"purpose=approvers file=approvers.toml rev={rev} valid_until={valid_until}")

    def put(self, data: bytes, comment: str) -> None:
        """Write these bytes as the list of people, signed by the roots."""
        (self.folder / "approvers.toml").write_bytes(data)
        for number, key in enumerate(self.roots, 1):
            name = "approvers.toml" + (f".root{number}" if number > 1 else "") + ".minisig"
            (self.folder / name).write_text(sign(key, data, comment))

    def sign(self, name: str, data: bytes, comment: str) -> str:
        """Return the signature of a person."""
        return sign(self.keys[name], data, comment)

    def sign_file(
        self,
        path: Path,
        purpose: str,
        *names: str,
        file: str = "",
        rev: int = 1,
        valid_until: str = FOREVER,
        more: str = "",
    ) -> None:
        """Sign a file in place, by each of the people: FILE.NAME.minisig."""
        comment = f"purpose={purpose} file={file or path.name} rev={rev} valid_until={valid_until}{more}"
        for name in names:
            path.with_name(f"{path.name}.{name}.minisig").write_text(self.sign(name, path.read_bytes(), comment))

    def sign_all(self, config: Config, rev: int = 1) -> None:
        """Sign a configuration as it was read, by two people, and each own profile it uses, by the supplier."""
        self.sign_file(config.path, "configuration", "mso", "jkr", rev=rev)
        for name in {device.settings.profile for device in config.devices}:
            item = config.profiles.item(name)
            if item.packaged:
                raise ValueError(f"{name} is packaged: copy it to a folder of profiles of the test")
            more = "".join(f" sha256:{n}={digest(d)}" for n, d in item.beside.items())
            self.sign_file(item.path, "profile", "lev", file=f"{name}.toml", rev=rev, more=more)
