"""The key of the disk and what is made of it: boxes, marks, protection. No test here knows how the spool uses them."""

from __future__ import annotations

import os
import pickle
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ConfigError, InternalError
from gateway.security.seal import CREDENTIAL, OLD_CREDENTIAL, Seal, needed, parse_mark, protection, read_keys
from gateway.security.seal.protection import file_system

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


@given(data=st.binary(max_size=300), place=st.binary(max_size=40), at=st.integers(0, 10**6))
def test_what_is_changed_or_in_another_place_does_not_open(data: bytes, place: bytes, at: int) -> None:
    seal = Seal([KEY])
    mark = seal.mark()
    sealed = seal.begin(mark, "p", "gw").seal(data, place)
    box = seal.box(mark, "p", "gw")
    assert box.open(sealed, place) == data
    bad = bytearray(sealed)
    bad[at % len(bad)] ^= 1 << at % 8
    assert box.open(bytes(bad), place) is None
    assert box.open(sealed, place + b".") is None
    assert box.open(sealed[:-1], place) is None
    for purpose, whose in (("q", "gw"), ("p", "gw2")):
        assert seal.box(mark, purpose, whose).open(sealed, place) is None


def test_a_box_counts_and_one_of_an_older_file_does_not_seal() -> None:
    seal = Seal([KEY])
    mark = seal.mark()
    box = seal.begin(mark, "p", "gw")
    assert [box.seal(b"", b"")[:4] for _ in range(3)] == [bytes((0, 0, 0, n)) for n in range(3)]
    with pytest.raises(InternalError, match="must not be sealed on"):
        seal.box(mark, "p", "gw").seal(b"", b"")


def test_each_file_has_a_salt_of_its_own() -> None:
    seal = Seal([KEY])
    assert len({seal.mark().salt for _ in range(100)}) == 100


def test_the_key_before_still_opens_and_does_not_seal() -> None:
    before = Seal([KEY])
    mark = before.mark()
    sealed = before.begin(mark, "p", "gw").seal(b"text", b"")
    both = Seal([OTHER, KEY])
    assert both.box(mark, "p", "gw").open(sealed, b"") == b"text"
    assert both.mark().key.hex() == both.key_id == Seal([OTHER]).key_id != before.key_id
    assert both.key_ids == (both.key_id, before.key_id)
    with pytest.raises(ConfigError, match=f"sealed with the key {before.key_id}, which is not here → load the key"):
        Seal([OTHER]).box(mark, "p", "gw")


def test_a_mark_is_read_back_and_nothing_else_is_one() -> None:
    mark = Seal([KEY]).mark()
    assert parse_mark(mark.text) == mark
    assert [parse_mark(text) for text in ("", "ab", mark.text + "00", "zz" * 40)] == [None] * 4


def test_nothing_shows_a_key() -> None:
    seal = Seal([KEY])
    box = seal.begin(seal.mark(), "p", "gw")
    for shown in (repr(seal), str(seal), repr(box), seal.key_id):
        assert KEY.hex()[:16] not in shown
        assert repr(KEY)[2:10] not in shown
    for thing in (seal, box):
        with pytest.raises(TypeError):
            pickle.dumps(thing)


def test_keys_come_from_the_credentials_and_only_whole_ones(tmp_path: Path) -> None:
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_keys({}) == read_keys(env) == []
    (tmp_path / OLD_CREDENTIAL).write_bytes(OTHER)
    with pytest.raises(ConfigError, match="there is mdi-seal-old and no mdi-seal → dd"):
        read_keys(env)
    (tmp_path / CREDENTIAL).write_bytes(KEY)
    assert read_keys(env) == [KEY, OTHER]
    (tmp_path / CREDENTIAL).write_bytes(KEY + b"\n")
    with pytest.raises(ConfigError, match="a key has 32 bytes, this one 33") as told:
        read_keys(env)
    assert KEY.hex() not in str(told.value)


def test_without_a_key_production_does_not_begin() -> None:
    assert needed(None, production=False) is None
    with pytest.raises(
        ConfigError, match=r"there is none → make one: .*systemd-creds encrypt .*--name=mdi-seal"
    ) as told:
        needed(None, production=True)
    assert told.value.exit_code == 2
    assert "\n" not in str(told.value)


def test_protection_says_what_is_seen_and_no_more(tmp_path: Path) -> None:
    assert protection({}).source == "none"
    (tmp_path / CREDENTIAL).write_bytes(KEY)
    seen = protection({"CREDENTIALS_DIRECTORY": str(tmp_path)}, stores=())
    kind = file_system(tmp_path)
    assert (seen.source, seen.memory) == ("file in memory" if kind in ("tmpfs", "ramfs") else "file on disk", kind)
    assert seen.encrypted_by == "nothing"
    (tmp_path / CREDENTIAL).chmod(0o444)
    assert protection({"CREDENTIALS_DIRECTORY": str(tmp_path)}).readable_by_others


@pytest.mark.parametrize(("how", "by"), [("host", "host")])
def test_what_systemd_has_encrypted_a_credential_with_is_read_from_it(tmp_path: Path, how: str, by: str) -> None:
    from gateway.security.seal.protection import _encrypted_by

    made = subprocess.run(
        ["systemd-creds", "encrypt", f"--with-key={how}", f"--name={CREDENTIAL}", "-", str(tmp_path / CREDENTIAL)],
        input=KEY,
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("systemd-creds has no host key here")
    assert _encrypted_by((tmp_path,)) == by
    assert _encrypted_by((tmp_path / "nothing",)) == "unknown"
    (tmp_path / CREDENTIAL).write_bytes(os.urandom(64))
    assert _encrypted_by((tmp_path,)) == "unknown"
