"""Runs a program as a unit would have it: its system calls, no writable code, no new rights, no core.

    python confine.py mdi-acquire.service COMMAND…

The list of system calls is systemd's own (`systemd-analyze syscall-filter`), put together as SystemCallFilter= of the
unit says (systemd.exec(5)), loaded with seccomp(2); what is not in it fails with EPERM. x86-64 only: the numbers are
its.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_SET_MDWE = 38, 22, 65  # linux/prctl.h
MDWE_REFUSE_EXEC_GAIN, SECCOMP_MODE_FILTER = 1, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
ALLOW, EPERM = 0x7FFF0000, 0x00050001  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | EPERM
NUMBERS = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")


def group(name: str) -> set[str]:
    """Return the calls of a group, groups in it as well."""
    said = subprocess.run(
        ["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True
    ).stdout
    names = [line.strip() for line in said.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return {call for one in names for call in (group(one) if one.startswith("@") else {one})}


def allowed(unit: Path) -> set[str]:
    """Return the calls that a unit may make: each line adds, or with ~ takes away."""
    calls: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.+)$", unit.read_text(encoding="utf-8"), re.MULTILINE):
        names = line.removeprefix("~").split()
        found = {call for name in names for call in (group(name) if name.startswith("@") else {name})}
        calls = calls - found if line.startswith("~") else calls | found
    return calls | {"execve", "exit", "exit_group", "rt_sigreturn"}


class Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint))


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(Instruction)))


def confine(calls: set[str]) -> None:
    """Bind this process and all that come of it. OSError: the kernel cannot."""
    defined = dict(re.findall(r"#define __NR_(\w+) (\d+)", NUMBERS.read_text(encoding="utf-8")))
    lines = [Instruction(LOAD, 0, 0, 0)]
    for number in sorted(int(defined[call]) for call in calls if call in defined):
        lines += [Instruction(EQUAL, 0, 1, number), Instruction(RETURN, 0, 0, ALLOW)]
    lines.append(Instruction(RETURN, 0, 0, EPERM))
    program = Program(len(lines), (Instruction * len(lines))(*lines))
    libc = ctypes.CDLL(None, use_errno=True)
    for what in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*what):
            raise OSError(ctypes.get_errno(), f"prctl {what[0]}")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    confine(allowed(Path(sys.argv[1])))
    os.execv(sys.argv[2], sys.argv[2:])
