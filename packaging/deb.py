"""Build the Debian package: a virtual environment with locked wheels in /opt/mdi, units, users, udev rules, a sample.

    python packaging/deb.py --wheels build/wheels --out build [--version 0.1.0-1] [--release-key FILE]

With a key, the list of files (mdi verify-install) and that of the packaged profiles (mdi trust) are signed with it.
No network and no root. Every dependency comes from the folder of wheels, checked against the hashes in
packaging/requirements.txt. The same tree, wheels and SOURCE_DATE_EPOCH make the same bytes: own files are copied
without what was compiled, times and modes are set, and what pip writes of the place of the build is taken out.
"""

from __future__ import annotations

import argparse
import base64
import csv
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "packaging"
NAME = "mdi-edge-gateway"
PYTHON = Path("/usr/bin/python3")  # Debian's: what the package depends on runs it
HOME = Path("opt/mdi")
SITE = HOME / ".venv/lib/python3.11/site-packages"
PROGRAMS = ("python", "python3", "python3.11", "mdi")  # what stays of .venv/bin; tools of libraries do not
SOURCES = ("gateway", "drivers", "kita", "firmware_profiles", "pyproject.toml", "README.md", "LICENSE")
PLACES = {  # suffix of a file in systemd/ -> where it goes, and its name there
    ".service": "lib/systemd/system/{name}",
    ".timer": "lib/systemd/system/{name}",
    ".path": "lib/systemd/system/{name}",
    ".socket": "lib/systemd/system/{name}",
    ".sysusers": "usr/lib/sysusers.d/mdi.conf",
    ".tmpfiles": "usr/lib/tmpfiles.d/mdi.conf",
    ".sysctl": "usr/lib/sysctl.d/60-mdi.conf",
    ".rules": "lib/udev/rules.d/{name}",
}
# The first line of a script, as pip writes it; three lines of sh(1) where the path is long or has a space.
PLACE = re.compile(r"""\A#!.*\n(?:'''exec' .*\n' '''\n)?""")
SCRIPTS = ("postinst", "prerm", "postrm")
COMPRESSION = ("-Zgzip", "-z6")  # zstd is unknown to Debian's own checks; xz takes ten times as long for a fifth less


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    ask.add_argument("--wheels", type=Path, required=True, help="folder with the locked wheels")
    ask.add_argument("--out", type=Path, required=True, help="folder for the package")
    ask.add_argument("--version", default=f"{project_version()}-1", help="version of the package")
    ask.add_argument("--release-key", type=Path, help="secret key, of minisign or mdi trust key, of the role release")
    ask.add_argument(
        "--until", type=date.fromisoformat, help="last day of its signatures; the version's end of support"
    )
    given = ask.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        stage(tree, given.wheels.resolve(), given.release_key, given.until)
        print(pack(tree, given.out, given.version))


def project_version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def epoch() -> int:
    """Return the time of all files: SOURCE_DATE_EPOCH, else that of the last commit, else 2026-01-01."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    git = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip() else 1767225600


def end_of_support() -> date:
    """Return the day until which this version is supported, of the table in SECURITY.md."""
    minor = project_version().rpartition(".")[0]
    return date.fromisoformat(re.findall(rf"\| {minor} \| (\S+) \|", (ROOT / "SECURITY.md").read_text("utf-8"))[0])


def stage(tree: Path, wheels: Path, key: Path | None, until: date | None) -> None:
    """Lay out what will be installed. key, until: of the signatures."""
    venv(tree, wheels)
    files(tree)
    profiles = tree / SITE / "firmware_profiles"
    mdi(tree, "trust", "manifest", profiles)
    lists = (profiles / "MANIFEST", tree / HOME / "MANIFEST")
    for path in lists:  # in this order: what is signed first is in the second list
        if path == lists[1]:
            manifest(tree)
        if key is not None:
            # Minutes: a rising number of at most nine digits, the same for the same tree.
            end = (until or end_of_support()).isoformat()
            mdi(tree, "trust", "sign", path, "--key", key.resolve(), "--rev", epoch() // 60, "--until", end)


def mdi(tree: Path, *words: object) -> None:
    """Run the program that is being packaged."""
    run(tree / HOME / ".venv/bin/python", "-I", "-B", "-m", "gateway.cli.app", *words, quiet=True)


def venv(tree: Path, wheels: Path) -> None:
    """Make the environment, offline, and make it look as if it had been made in /opt/mdi."""
    folder = tree / HOME / ".venv"
    run(PYTHON, "-I", "-m", "venv", "--without-pip", "--symlinks", folder)
    offline = ["--no-index", "--find-links", wheels, "--no-compile", "--no-warn-script-location"]
    pip = [sys.executable, "-I", "-m", "pip", "--isolated", "--quiet", "--disable-pip-version-check"]
    into = [*pip, "--python", folder / "bin/python", "install", *offline]
    run(*into, "--no-deps", "--require-hashes", "--requirement", HERE / "requirements.txt")
    with tempfile.TemporaryDirectory() as own:
        wheel(Path(own), wheels, pip)
        run(*into, "--no-deps", *Path(own).glob("*.whl"))
    for path in (folder / "bin").iterdir():
        if path.name not in PROGRAMS:
            path.unlink()
    main_script = folder / "bin/mdi"
    text = main_script.read_text(encoding="utf-8")
    main_script.write_text(PLACE.sub(f"#!/{HOME}/.venv/bin/python\n", text), encoding="utf-8")
    (folder / "pyvenv.cfg").write_text(
        f"home = {PYTHON.parent}\ninclude-system-site-packages = false\nversion = 3.11\n", encoding="utf-8"
    )
    for record in (tree / SITE).glob("*.dist-info/RECORD"):
        rewrite_record(record)


def wheel(own: Path, wheels: Path, pip: list[str]) -> None:
    """Build our own wheel from a copy of the sources, so that nothing of an earlier build gets in."""
    copy = own / "sources"
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            copy.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    run(*pip, "wheel", "--no-index", "--find-links", wheels, "--no-deps", "--wheel-dir", own, copy)


def rewrite_record(record: Path) -> None:
    """Keep the list of what a distribution has installed true: of what is gone, of the changed script, of the place."""
    for name in ("direct_url.json", "REQUESTED"):  # the place of the build
        record.with_name(name).unlink(missing_ok=True)
    site = record.parent.parent
    kept = []
    for name, *_ in csv.reader(record.read_text(encoding="utf-8").splitlines()):
        path = site / name
        if not path.exists():
            continue
        digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
        kept.append([name, "", ""] if path == record else [name, f"sha256={digest}", str(path.stat().st_size)])
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(sorted(kept))
    record.write_text(lines.getvalue(), encoding="utf-8")


def files(tree: Path) -> None:
    """Everything but Python: units, users, rules, the sample, the manual."""
    for path in sorted((ROOT / "systemd").iterdir()):
        copy(path, tree / PLACES[path.suffix].format(name=path.name))
    copy(ROOT / "mdi_config.toml", tree / "etc/mdi/mdi_config.toml")
    copy(ROOT / "SECURITY.md", tree / HOME / "SECURITY.md")  # the dossier quotes it
    for path in sorted((ROOT / "docs").rglob("*")):
        if path.is_file():
            copy(path, tree / HOME / path.relative_to(ROOT))
    share = tree / "usr/share"
    copy(HERE / "copyright", share / f"doc/{NAME}/copyright")
    squeeze(changelog(), share / f"doc/{NAME}/changelog.Debian.gz")
    squeeze((HERE / "mdi.1").read_bytes(), share / "man/man1/mdi.1.gz")
    copy(HERE / "lintian-overrides", share / f"lintian/overrides/{NAME}")
    link = tree / "usr/bin/mdi"
    link.parent.mkdir(parents=True)
    link.symlink_to(f"/{HOME}/.venv/bin/mdi")


def changelog() -> bytes:
    when = subprocess.run(
        ["date", "-u", "-R", "-d", f"@{epoch()}"], capture_output=True, text=True, check=True, env={"LC_ALL": "C"}
    ).stdout.strip()
    text = (HERE / "changelog").read_text(encoding="utf-8")
    return text.format(version=f"{project_version()}-1", when=when).encode()


def manifest(tree: Path) -> None:
    """Write the hashes of our own files as sha256sum(1) does, for `mdi verify-install`."""
    own = [path for name in SOURCES[:4] for path in (tree / SITE / name).rglob("*") if path.is_file()]
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(tree / SITE)}\n" for p in sorted(own)]
    (tree / HOME / "MANIFEST").write_text("".join(lines), encoding="utf-8")


def pack(tree: Path, out: Path, version: str) -> Path:
    """Make the package of a laid-out tree."""
    control = tree / "DEBIAN"
    shutil.rmtree(control, ignore_errors=True)
    control.mkdir()
    normalise(tree)
    listed = sorted(p for p in tree.rglob("*") if p.is_file() and not p.is_symlink() and control not in p.parents)
    conffiles = [f"/{p.relative_to(tree)}" for p in listed if p.is_relative_to(tree / "etc")]
    (control / "conffiles").write_text("".join(f"{name}\n" for name in conffiles))
    sums = [f"{hashlib.md5(p.read_bytes(), usedforsecurity=False).hexdigest()}  {p.relative_to(tree)}" for p in listed]
    (control / "md5sums").write_text("".join(f"{line}\n" for line in sums if "  etc/" not in line))
    text = (HERE / "control").read_text(encoding="utf-8")
    size = sum(p.stat().st_size for p in listed) // 1024
    architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout
    filled = text.format(version=version, architecture=architecture.strip(), size=size)
    (control / "control").write_text(filled, encoding="utf-8")
    for name in SCRIPTS:
        copy(HERE / name, control / name)
    normalise(control)
    package = out / f"{NAME}_{version}_{architecture.strip()}.deb"
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch())
    run("dpkg-deb", "--root-owner-group", *COMPRESSION, "--build", tree, package, quiet=True)
    return package


def normalise(tree: Path) -> None:
    """Set modes and times: 0755 for folders and programs, 0644 for the rest; one time for all."""
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            program = path.parent.name == "bin" or (path.parent.name == "DEBIAN" and path.name in SCRIPTS)
            path.chmod(0o755 if path.is_dir() or program else 0o644)
        os.utime(path, (epoch(), epoch()), follow_symlinks=False)


def copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)


def squeeze(content: bytes, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_bytes(gzip.compress(content, 9, mtime=0))


def run(*command: object, quiet: bool = False) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch()), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(
        [str(word) for word in command], check=True, env=environment, stdout=subprocess.DEVNULL if quiet else None
    )


if __name__ == "__main__":
    main()
