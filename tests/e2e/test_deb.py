"""The Debian package: built twice the same, installed on a clean root, upgraded, taken back, removed, purged.

The root is a layer over this machine's own system (overlayfs in a mount name space): a real dpkg with its real
database, and nothing of the machine changes. systemd does not run there: what it starts and stops is not seen here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.parts.trust import Hospital

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

WHEELS = ROOT / "build" / "wheels"
NEXT = "0.9.9-1"
# Runs in the root, after the package N and N+1 are there as /n.deb and /next.deb.
STORY = r"""
set -e
say() { echo "== $1"; }
kept() { sha256sum /etc/mdi/mdi_config.toml /var/lib/mdi/spool/segment-1 /etc/mdi/approvals/mine.json; }
dpkg -i /n.deb
say users; for user in acquire forward kita netrules admin; do id "mdi-$user"; done
say owners; stat -c '%U:%G %a %n' /var/lib/mdi /var/lib/mdi/spool /var/lib/mdi/audit /etc/mdi/certs
say program; mdi --help >/dev/null; mdi profile lint >/dev/null
say refused; mdi check --config /etc/mdi/mdi_config.toml >/dev/null 2>&1 || echo "$?"
say installed; cd /opt/mdi/.venv/lib/python3.11/site-packages; sha256sum --quiet -c /opt/mdi/MANIFEST; cd /
say units; systemd-analyze verify /lib/systemd/system/mdi-*.*
say enabled; find /etc/systemd -name 'mdi-*'
say signed; mdi verify-install /opt/mdi/MANIFEST --key /release.pub
cp -r /people/trust /etc/mdi/; mdi trust status --config /etc/mdi/mdi_config.toml --json || true
say verified; dpkg --verify mdi-edge-gateway
echo segment > /var/lib/mdi/spool/segment-1; chown mdi-forward /var/lib/mdi/spool/segment-1
echo '# mine' >> /etc/mdi/mdi_config.toml; echo '{}' > /etc/mdi/approvals/mine.json
kept > /before
for package in /next.deb /n.deb; do
    dpkg --force-confold -i $package
    say "version $package"; dpkg-query -W -f '${Version}\n' mdi-edge-gateway
    kept | diff - /before; mdi --help >/dev/null
done
dpkg -r mdi-edge-gateway
say left; ls -d /opt/mdi /usr/bin/mdi /lib/systemd/system/mdi-* /usr/lib/sysusers.d/mdi.conf 2>/dev/null || true
kept | diff - /before
say purging; dpkg -P mdi-edge-gateway
say purged; sha256sum /var/lib/mdi/spool/segment-1 /etc/mdi/approvals/mine.json | diff - <(grep -v config.toml /before)
dpkg --unpack /n.deb
MDI_PURGE_DATA=yes dpkg -P mdi-edge-gateway
say gone; ls -d /var/lib/mdi /etc/mdi 2>/dev/null || true
say end
"""
LAYERS = r"""
set -e
mount -t tmpfs layers "$1"; mkdir "$1/upper" "$1/temp" "$1/system"
mount -t overlay layers -o lowerdir=/,upperdir="$1/upper",workdir="$1/temp" "$1/system"
cp "$2" "$1/system/n.deb"; cp "$3" "$1/system/next.deb"
cp -r "$4" "$1/system/people"; cp "$5" "$1/system/release.pub"
mount -t proc proc "$1/system/proc"; mount -t tmpfs run "$1/system/run"; mount --rbind /dev "$1/system/dev"
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$1/system" bash -s
"""


def needed() -> None:
    """Skip, visibly, where the package cannot be built or installed."""
    if os.geteuid() != 0:
        pytest.skip("dpkg wants root")
    for program in ("dpkg-deb", "unshare", "chroot"):
        if not shutil.which(program):
            pytest.skip(f"no {program} on this machine")
    if not Path("/usr/bin/python3.11").exists():
        pytest.skip("the package is for Debian 12: no /usr/bin/python3.11")


def build(out: Path, people: Hospital) -> Path:
    words = [sys.executable, str(ROOT / "packaging/deb.py"), "--wheels", str(WHEELS), "--out", str(out)]
    words += ["--release-key", str(people.etc_dir / "release.key")]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1767225600", "TMPDIR": str(out)}
    out.mkdir()
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return Path(done.stdout.strip().splitlines()[-1])


def repacked(package: Path, tree: Path) -> Path:
    """Return the same package with a newer number and one more file."""
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub("(?m)^Version: .*", f"Version: {NEXT}", control.read_text(encoding="utf-8")))
    (tree / "opt/mdi/docs/news.md").write_text("new", encoding="utf-8")
    made = tree.with_suffix(".deb")
    pack = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, made]
    subprocess.run(pack, check=True, capture_output=True)
    return made


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    """A region, with somebody who signs releases."""
    made = Hospital(tmp_path_factory.mktemp("people"))
    release = made.keys["release-1"]
    (made.etc_dir / "release.key").write_text(release.text(""), encoding="utf-8")
    (made.etc_dir / "release.pub").write_text(release.public.text, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory, people: Hospital) -> Path:
    needed()
    offline = {**os.environ, "PIP_RETRIES": "1", "PIP_DEFAULT_TIMEOUT": "10"}
    wheels = subprocess.run(["make", "-s", "wheels"], cwd=ROOT, capture_output=True, env=offline, check=False)
    if wheels.returncode:
        pytest.skip("the locked wheels are not in build/wheels and cannot be fetched here: make wheels")
    return build(tmp_path_factory.mktemp("one") / "deb", people)


def test_two_builds_are_the_same_bytes(package: Path, people: Hospital, tmp_path: Path) -> None:
    again = build(tmp_path / "another place", people)  # with a space, and longer
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(package.read_bytes()).digest()


def test_it_is_installed_upgraded_taken_back_and_removed_and_the_spool_is_kept(
    package: Path, people: Hospital, tmp_path: Path
) -> None:
    newer = repacked(package, tmp_path / "next")
    layers = tmp_path / "layers"
    layers.mkdir()
    words = ["unshare", "--mount", "sh", "-c", LAYERS, "sh", str(layers), str(package), str(newer)]
    words += [str(people.etc_dir), str(people.etc_dir / "release.pub")]
    done = subprocess.run(words, input=STORY, capture_output=True, text=True, check=False)
    if "mount:" in done.stderr:
        pytest.skip(f"no overlay here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    told = {part.split("\n", 1)[0]: part.split("\n", 1)[1] for part in done.stdout.split("== ")[1:]}
    assert "end" in told
    assert told["refused"] == "2\n"  # a fresh sample in production has no signature and no approval
    assert ", all as in /opt/mdi/MANIFEST" in " ".join(told["signed"].split())
    rows = json.loads(told["signed"][told["signed"].index("[{") :])
    judged = {row["file"]: (row["counts"], row["people"]) for row in rows}
    assert judged["firmware_profiles/MANIFEST"] == (True, ["release-1 (release)"])
    assert NEXT in told["version /next.deb"]
    assert NEXT not in told["version /n.deb"]
    assert told["enabled"] == ""  # nothing is started by the installation
    assert told["owners"].splitlines() == [
        "root:mdi 1770 /var/lib/mdi",
        "mdi-forward:mdi 700 /var/lib/mdi/spool",
        "root:mdi 3770 /var/lib/mdi/audit",
        "mdi-forward:mdi 700 /etc/mdi/certs",
    ]
    assert "\n/" not in f"\n{told['left']}"
    assert "\n/" not in f"\n{told['gone']}"
