"""No secret in the tree, and the scan would see one."""

from __future__ import annotations

import base64
import hashlib

import pytest

from tests.secrets import scan, secrets_in

RANDOM = base64.b64encode(hashlib.sha512(b"x").digest()).decode()


def test_there_is_no_secret_in_the_tree() -> None:
    assert not scan()


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN " + "PRIVATE KEY-----\n" + RANDOM + "\n",
        "pass" + 'word = "hunter2hunter2"',
        "tok" + 'en: "0123456789abcdef"',
        f"x = {RANDOM}",
    ],
)
def test_a_secret_is_seen(text: str) -> None:
    assert secrets_in(text)


@pytest.mark.parametrize(
    "text", ["drivers/philips_intellivue/captures/association/first", "a" * 80, "0" * 64, "the password = {name}"]
)
def test_what_is_none_is_passed_over(text: str) -> None:
    assert not secrets_in(text)
