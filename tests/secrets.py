"""Secrets in the tree: keys, passwords, tokens in what git tracks. `python -m tests.secrets` lists them, exit code 1.

Two ways: shapes that are known (a PEM block, a minisign secret key, a password that is written down), and words that
look random: 40 characters or more of base64 with more than 4.6 bits of entropy each (hex has at most 4, prose 4.1).
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHAPES = {
    "private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s*\n[A-Za-z0-9+/=\s]{40}"),
    "secret key of minisign": re.compile(r"^RWRTY0[A-Za-z0-9+/]{50}", re.MULTILINE),
    "password": re.compile(r"""(?i)\b(?:password|passwd|secret|api_?key|token)\b\s*[=:]\s*["'][^"'\s{}$]{8,}["']"""),
    "token of a service": re.compile(r"\b(?:AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|xox[abp]-[A-Za-z0-9-]{20})\b"),
}
RANDOM = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/]{40,}={0,2}(?![A-Za-z0-9+/=_-])")
BITS = 4.6
MAX_BYTES = 1 << 20
# What is random and no secret: path → why.
PUBLIC = {
    "tests/model/test_spool_sealed.py": "a made-up master key of a test",
    "tests/unit/test_trust_minisign.py": "keys and signatures made for this test, of nobody",
    "tests/unit/test_trust.py": "keys and signatures made for this test, of nobody",
}


def entropy(word: str) -> float:
    """Return the bits of entropy of one character."""
    return -sum(n / len(word) * math.log2(n / len(word)) for n in Counter(word).values())


def secrets_in(text: str) -> list[str]:
    """Return what looks like a secret in a text, without showing it."""
    found = [f"line {_line(text, m.start())}: {name}" for name, shape in SHAPES.items() for m in shape.finditer(text)]
    return found + [
        f"line {_line(text, m.start())}: {len(m[0])} random characters"
        for m in RANDOM.finditer(text)
        if entropy(m[0]) > BITS and not _path(m[0])
    ]


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _path(word: str) -> bool:
    """A path is no secret: its parts are words."""
    return word.count("/") >= 3 and all(len(part) < 24 for part in word.split("/"))


def scan() -> list[str]:
    """Return "path: line: what" of all tracked files."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    found = []
    for name in filter(None, listed.decode("utf-8").split("\0")):
        path = ROOT / name
        if name in PUBLIC or not path.is_file() or path.stat().st_size > MAX_BYTES:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # a capture or a picture
            continue
        found += [f"{name}: {what}" for what in secrets_in(text)]
    return found


if __name__ == "__main__":
    problems = scan()
    print("\n".join(problems) or "no secret found")
    sys.exit(bool(problems))
