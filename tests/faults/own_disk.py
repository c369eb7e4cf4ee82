"""A disk of its own for a row: small, full, read-only or dead as the test wants, and never anybody else's.

A process holds a mount namespace; the disk is mounted in there, and nobody outside sees it but through `path`, which
goes by /proc/PID/root. When that process ends (with the test, whatever happens) the mounts are gone.

    with own_disk(tmp_path / "disk", 4 << 20) as disk:          a tmpfs of 4 MiB
        disk.fill(); disk.free()                                no space, space again
        disk.read_only(); disk.writable()                       new files are refused (EROFS); open ones go on
    with own_disk(tmp_path / "disk", 16 << 20, "ext4") as disk: ext4 on a loop device
        disk.die(); disk.come_back()                            every access is an I/O error; mounted anew, as after a
                                                                power cut: what was not synced is not there

Needs root, or user namespaces (tmpfs only). Where neither is permitted the test is skipped, visibly.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

IOC_SHUTDOWN = 0x8004587D  # linux/fs.h FS_IOC_SHUTDOWN, as ext4 and xfs know it: _IOR('X', 125, u32)
NO_LOG_FLUSH = 2  # ext4.h EXT4_GOING_FLAGS_NOLOGFLUSH: what the journal has not written yet is lost
BALLAST = "ballast"
WRITE_BYTES = 4096  # the unit of the ballast: not a page is left free


class OwnDisk:
    """See the module text. Use `own_disk`."""

    def __init__(self, folder: Path, pid: int, enter: list[str]) -> None:
        self.folder = folder
        self.path = Path(f"/proc/{pid}/root{folder}")
        self._enter = [*enter, "-t", str(pid), "--"]

    def run(self, *command: str) -> None:
        """Run a command where the disk is mounted. Raises: CalledProcessError."""
        subprocess.run([*self._enter, *command], check=True, capture_output=True, timeout=60)

    def fill(self) -> None:
        """Write until nothing fits, so that not one page is free."""
        with suppress(OSError), (self.path / BALLAST).open("ab", buffering=0) as ballast:
            while ballast.write(bytes(WRITE_BYTES)):
                pass

    def free(self) -> None:
        """Give the space back that `fill` took."""
        (self.path / BALLAST).unlink()

    def read_only(self) -> None:
        """Nothing can be made, opened for writing or removed from now on. What is open stays writable."""
        self.run("mount", "--bind", str(self.folder), str(self.folder))
        self.run("mount", "-o", "remount,bind,ro", str(self.folder))

    def writable(self) -> None:
        """End `read_only`."""
        self.run("umount", "--lazy", str(self.folder))

    def resize(self, size: int) -> None:
        """Make a tmpfs larger or smaller, in bytes."""
        self.run("mount", "-o", f"remount,size={size}", str(self.folder))

    def die(self) -> None:
        """ext4: every access fails with EIO from now on, and what was not synced is lost."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def come_back(self) -> None:
        """ext4: mount the dead disk anew; its journal is played back. Nobody may have a file of it open."""
        self.run("umount", str(self.folder))
        self.run("mount", "-o", "loop", f"{self.folder}.img", str(self.folder))


@contextmanager
def own_disk(folder: Path, size: int, kind: str = "tmpfs") -> Iterator[OwnDisk]:
    """Yield a disk that is mounted at `folder`, `size` bytes. kind: "tmpfs" or "ext4"."""
    folder.mkdir(parents=True)
    as_root = os.geteuid() == 0
    unshare = ["unshare", "--mount"] if as_root else ["unshare", "--mount", "--map-root-user"]
    enter = ["nsenter", "--mount"] if as_root else ["nsenter", "--mount", "--user", "--preserve-credentials"]
    keeper = subprocess.Popen(
        [*unshare, "sh", "-c", "echo there; read -r end"],  # ends when we do: then its input ends
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert keeper.stdout is not None
        if keeper.stdout.readline() != b"there\n":
            pytest.skip("a mount namespace is not permitted here")
        disk = OwnDisk(folder, keeper.pid, enter)
        try:
            _mount(disk, folder, size, kind)
        except subprocess.CalledProcessError as fault:
            pytest.skip(f"a {kind} cannot be mounted here: {fault.stderr.decode().strip()}")
        yield disk
    finally:
        keeper.kill()
        keeper.communicate()


def _mount(disk: OwnDisk, folder: Path, size: int, kind: str) -> None:
    if kind == "tmpfs":
        disk.run("mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder))
        return
    image = f"{folder}.img"
    disk.run("truncate", "--size", str(size), image)
    disk.run("mkfs.ext4", "-q", "-F", image)
    disk.run("mount", "-o", "loop", image, str(folder))
