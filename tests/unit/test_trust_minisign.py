"""The minisign format: every bit that is signed counts, and the program minisign agrees both ways."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import TrustError
from gateway.security.trust.minisign import PublicKey, SecretKey, sign, verify

DATA = "Blodtryk på stue 5, æøå\n".encode() * 3
COMMENT = "purpose=profile file=philips/mx800.toml rev=12 valid_until=2027-06-30"
KEY = SecretKey.generate()
SIGNATURE = sign(KEY, DATA, COMMENT)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def refused(data: bytes, signature: str, key: PublicKey = KEY.public) -> TrustError:
    with pytest.raises(TrustError) as fault:
        verify(key, data, signature, "where.minisig")
    assert fault.value.exit_code == 3
    return fault.value


def with_line(number: int, text: str) -> str:
    lines = SIGNATURE.split("\n")
    lines[number] = text
    return "\n".join(lines)


def test_what_is_signed_is_accepted_and_its_comment_returned() -> None:
    assert verify(KEY.public, DATA, SIGNATURE) == COMMENT


def test_every_bit_of_the_file_counts() -> None:
    for bit in range(len(DATA) * 8):
        assert refused(flipped(DATA, bit), SIGNATURE).reason == "changed"


def test_every_bit_of_the_trusted_comment_counts() -> None:
    for bit in range(len(COMMENT) * 8):
        changed = flipped(COMMENT.encode(), bit).decode("utf-8", "replace")
        reason = refused(DATA, with_line(2, "trusted comment: " + changed)).reason
        assert reason in ("comment_changed", "malformed")
        assert "\n" in changed or reason == "comment_changed"


def test_every_bit_of_the_signatures_and_the_key_id_counts() -> None:
    for line, size in ((1, 74), (3, 64)):
        raw = base64.b64decode(SIGNATURE.split("\n")[line])
        assert len(raw) == size
        for bit in range(size * 8):
            fault = refused(DATA, with_line(line, base64.b64encode(flipped(raw, bit)).decode()))
            place = bit // 8 if line == 1 else 99
            expected = ("malformed", "unknown_signer", "signature_changed", "comment_changed")[
                (place >= 2) + (place >= 10) + (line == 3)
            ]
            assert fault.reason == expected, (line, bit)


def test_every_bit_of_the_base64_text_counts() -> None:
    """Spare bits at the end of base64 too: there is one spelling of a signature."""
    for line in (1, 3):
        text = SIGNATURE.split("\n")[line].encode()
        for bit in range(len(text) * 8):
            refused(DATA, with_line(line, flipped(text, bit).decode("latin-1")))


def test_each_kind_of_damage_has_its_own_message() -> None:
    other = SecretKey(KEY.id, SecretKey.generate().seed)  # the same id on another key
    legacy = base64.b64encode(b"Ed" + base64.b64decode(SIGNATURE.split("\n")[1])[2:]).decode()
    said = [
        str(fault)
        for fault in (
            refused(DATA + b"!", SIGNATURE),
            refused(DATA, with_line(2, "trusted comment: rev=13")),
            refused(DATA, SIGNATURE, other.public),
            refused(DATA, SIGNATURE, SecretKey.generate().public),
            refused(DATA, with_line(1, legacy)),
            refused(DATA, with_line(1, "æ")),
            refused(DATA, "hello"),
            refused(DATA, "x" * 20_000),
        )
    ]
    assert len({text.partition(" → ")[0] for text in said}) == len(said), said
    assert all(text.startswith("where.minisig: ") and " → " in text for text in said)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(st.text(), min_size=5, max_size=5).map("\n".join)))
def test_any_text_as_signature_or_key_is_refused_without_a_crash(text: str) -> None:
    refused(DATA, text)
    for parse in (PublicKey.parse, SecretKey.parse):
        with pytest.raises(TrustError):
            parse(text)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=3000), st.text(st.characters(exclude_categories=["C", "Z"]), max_size=200))
def test_round_trip(data: bytes, comment: str) -> None:
    if comment.isprintable():
        assert verify(KEY.public, data, sign(KEY, data, comment)) == comment


def test_a_key_file_survives_and_does_not_show_itself() -> None:
    assert SecretKey.parse(KEY.text()) == KEY
    assert PublicKey.parse(KEY.public.text) == PublicKey.parse(KEY.public.line) == KEY.public
    assert KEY.seed.hex() not in repr(KEY)
    assert str(KEY.seed) not in repr(KEY)


# The program minisign, both ways.


def run(*words: str | Path, entered: str = "", code: int = 0) -> str:
    done = subprocess.run(
        [str(w) for w in ("minisign", *words)], input=entered, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_we_verify_what_minisign_signs(tmp_path: Path) -> None:
    run("-G", "-W", "-p", tmp_path / "k.pub", "-s", tmp_path / "k.key")
    (tmp_path / "file").write_bytes(DATA)
    run("-S", "-s", tmp_path / "k.key", "-m", tmp_path / "file", "-t", COMMENT)
    key = PublicKey.parse((tmp_path / "k.pub").read_text())
    text = (tmp_path / "file.minisig").read_text()
    assert verify(key, DATA, text) == COMMENT
    assert refused(DATA + b"x", text, key).reason == "changed"
    assert key.name in (tmp_path / "k.pub").read_text()
    secret = SecretKey.parse((tmp_path / "k.key").read_text())
    assert secret.public == key


def test_minisign_verifies_what_we_sign(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    (tmp_path / "file.minisig").write_text(SIGNATURE)
    (tmp_path / "k.pub").write_text(KEY.public.text)
    assert COMMENT in run("-V", "-p", tmp_path / "k.pub", "-m", tmp_path / "file")
    assert COMMENT in run("-V", "-P", KEY.public.line, "-m", tmp_path / "file")
    (tmp_path / "file").write_bytes(DATA + b"x")
    run("-V", "-p", tmp_path / "k.pub", "-m", tmp_path / "file", code=1)


def test_minisign_signs_with_our_key_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    (tmp_path / "k.key").write_text(KEY.text())
    run("-S", "-s", tmp_path / "k.key", "-m", tmp_path / "file", "-t", COMMENT)
    assert verify(KEY.public, DATA, (tmp_path / "file.minisig").read_text()) == COMMENT


@pytest.mark.slow
def test_a_key_file_with_a_password_is_the_same_to_both(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    text = KEY.text("løsen")
    (tmp_path / "k.key").write_text(text)
    run("-S", "-s", tmp_path / "k.key", "-m", tmp_path / "file", "-t", COMMENT, entered="løsen\n")
    assert verify(KEY.public, DATA, (tmp_path / "file.minisig").read_text()) == COMMENT
    assert SecretKey.parse(text, "løsen") == KEY
    with pytest.raises(TrustError, match="password is wrong"):
        SecretKey.parse(text, "losen")
