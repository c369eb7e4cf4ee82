"""Signed files at load: unsigned, changed, rolled back, expired, by the wrong people: each with its own message."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.core.errors import ProfileError, TrustError
from gateway.registry import Profiles
from gateway.security.trust.folder import MANIFEST, Folders, read_manifest, write_manifest
from gateway.security.trust.load import judge_all
from gateway.security.trust.people import Trust
from gateway.security.trust.revisions import Revisions, Seen
from gateway.security.trust.signed import CONFIGURATION, Item, digest, judge
from tests.parts.trust import Hospital


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path / "etc")


class Box:
    """A gateway's view: its trust, its state, one configuration file."""

    def __init__(self, hospital: Hospital, folder: Path) -> None:
        self.hospital, self.folder, self.state = hospital, folder, folder / "state"
        self.config = folder / "mdi_config.toml"
        self.config.write_text('[gateway]\nname = "gw"\n')
        self.sign()

    def sign(self, *names: str, rev: int = 1, purpose: str = "configuration", file: str = "", **more: str) -> None:
        for old in self.folder.glob("mdi_config.toml.*"):
            old.unlink()
        self.hospital.sign_file(self.config, purpose, *(names or ("mso", "jkr")), rev=rev, file=file, **more)

    def judge(self, now: datetime | None = None) -> None:
        """Judge as at a start, and record."""
        revisions = Revisions(self.state, "acquire")
        trust = Trust.read(self.hospital.etc_dir, now or self.hospital.now)
        judge(Item(self.config, self.config.read_bytes(), self.config.name), CONFIGURATION, trust, revisions)
        revisions.save()

    def refused(self, now: datetime | None = None) -> TrustError:
        with pytest.raises(TrustError) as fault:
            self.judge(now)
        assert fault.value.where
        assert fault.value.hint
        return fault.value


@pytest.fixture
def box(hospital: Hospital, tmp_path: Path) -> Box:
    return Box(hospital, tmp_path)


def test_signed_by_two_is_accepted(box: Box) -> None:
    box.judge()


def test_each_way_to_be_refused_has_its_own_message(box: Box) -> None:
    said: dict[str, str] = {}

    def expect(reason: str, now: datetime | None = None) -> None:
        fault = box.refused(now)
        assert fault.reason == reason
        assert fault.what not in said, f"{reason} says what {said[fault.what]} says"
        said[fault.what] = reason

    box.sign("mso")
    expect("too_few")
    box.sign("abe", "lev")
    expect("wrong_role")
    box.sign(purpose="profile")
    expect("wrong_file")
    box.sign(file="other.toml")
    expect("wrong_file")
    box.sign(valid_until="2026-06-30")
    expect("expired", datetime(2026, 7, 1, tzinfo=UTC))
    box.sign(rev=7)
    box.judge()
    good = box.config.read_bytes()
    box.config.write_bytes(good + b"#")
    expect("changed")
    box.sign(rev=7)
    expect("rolled_back")  # the same number on another file
    box.config.write_bytes(good)
    box.sign(rev=6)
    expect("rolled_back")
    for path in box.folder.glob("*.minisig"):
        path.unlink()
    expect("unsigned")
    assert len(said) == 9


def test_a_bad_signature_beside_good_ones_is_refused(box: Box) -> None:
    """An old one that was forgotten, or one that somebody made up: neither is passed over."""
    box.config.with_name("mdi_config.toml.abe.minisig").write_text("hello")
    assert box.refused().where.endswith("mdi_config.toml.abe.minisig")


def test_the_same_revision_may_be_signed_for_longer(box: Box) -> None:
    box.judge()
    box.sign(valid_until="2031-01-01")
    box.judge()


def test_signatures_of_different_revisions_do_not_make_two(box: Box) -> None:
    box.hospital.sign_file(box.config, "configuration", "jkr", rev=2)
    assert box.refused().what == "is signed under different revisions"


# What was seen never comes back, whatever crashes.


def test_a_reader_records_nothing(tmp_path: Path) -> None:
    revisions = Revisions(tmp_path)
    revisions.check("a:b", Seen(3, "x"), "here")
    revisions.save()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"a": [true, "x"]}', '{"a": [-1, "x"]}', "[" * 100_000])
def test_a_damaged_list_of_revisions_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "acquire").mkdir()
    (tmp_path / "acquire/revisions.json").write_text(text)
    with pytest.raises(TrustError, match="no list of revisions"):
        Revisions(tmp_path, "acquire")


class Lives(RuleBasedStateMachine):
    """Two processes start, accept, and crash in any order; nothing that was recorded is ever accepted lower."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.highest: dict[str, int] = {}

    @rule(
        writer=st.sampled_from(["acquire", "forward"]),
        file=st.sampled_from(["p:a", "p:b"]),
        rev=st.integers(0, 6),
        crash=st.booleans(),
    )
    def start(self, writer: str, file: str, rev: int, crash: bool) -> None:
        revisions = Revisions(self.folder, writer)
        found = Seen(rev, f"{file}{rev}")
        if rev < self.highest.get(file, 0):
            with pytest.raises(TrustError, match="was seen before"):
                revisions.check(file, found, "here")
            return
        revisions.check(file, found, "here")
        if crash:
            (self.folder / writer).mkdir(exist_ok=True)
            (self.folder / writer / "revisions.new").write_text('{"half')
        else:
            revisions.save()
            self.highest[file] = rev

    @invariant()
    def what_was_recorded_is_known(self) -> None:
        revisions = Revisions(self.folder)
        for file, rev in self.highest.items():
            seen = revisions.seen(file)
            assert seen is not None
            assert seen.rev == rev


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)


# Profiles, one by one and under a manifest.


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with one profile and the data file it names."""
    packaged = Profiles()
    item = next(packaged.item(i) for i in packaged.ids() if packaged.get(i).files)
    folder = tmp_path / "own" / "acme"
    folder.mkdir(parents=True)
    (folder / "pump.toml").write_bytes(item.data)
    for name, data in item.beside.items():
        (folder / name).write_bytes(data)
    return tmp_path / "own"


def data_file(own: Path) -> Path:
    return next(p for p in (own / "acme").iterdir() if p.suffix in (".dbc", ".eds"))


def judge_profile(hospital: Hospital, own: Path, packaged: bool = False) -> str:
    item = Profiles([own]).item("acme/pump")
    assert item.packaged is False
    trust = Trust.read(hospital.etc_dir, hospital.now)
    verdict = Folders(trust, Revisions(own / "state", "")).judge(item)
    return verdict.purpose


def sign_profile(hospital: Hospital, own: Path, name: str = "lev", beside: str = "") -> None:
    file = data_file(own)
    beside = beside or f" sha256:{file.name}={digest(file.read_bytes())}"
    hospital.sign_file(own / "acme/pump.toml", "profile", name, file="acme/pump.toml", more=beside)


def reason(hospital: Hospital, own: Path) -> tuple[str, str]:
    with pytest.raises(TrustError) as fault:
        judge_profile(hospital, own)
    return fault.value.reason, fault.value.what


def test_a_profile_is_signed_with_its_data_file(hospital: Hospital, own: Path) -> None:
    assert reason(hospital, own)[0] == "unsigned"
    sign_profile(hospital, own)
    assert judge_profile(hospital, own) == "profile"
    data_file(own).write_bytes(data_file(own).read_bytes() + b"\n")
    assert reason(hospital, own) == ("changed", f"{data_file(own).name} was changed after it was signed")
    sign_profile(hospital, own, beside=" sha256:other.dbc=" + "0" * 64)
    assert reason(hospital, own) == ("unsigned", f"{data_file(own).name} is used and not signed with it")
    sign_profile(hospital, own, name="abe")
    (own / "acme/pump.toml.lev.minisig").unlink()
    assert reason(hospital, own)[0] == "wrong_role"


def test_a_folder_is_signed_by_its_manifest(hospital: Hospital, own: Path) -> None:
    manifest = own / MANIFEST
    manifest.write_bytes(write_manifest(own))
    assert reason(hospital, own)[0] == "unsigned"
    hospital.sign_file(manifest, "manifest", "release-1", file="own/MANIFEST")
    assert judge_profile(hospital, own) == "manifest"
    file = data_file(own)
    good = file.read_bytes()
    file.write_bytes(good + b"\n")
    assert reason(hospital, own) == ("changed", "was changed after it was signed")
    file.write_bytes(good)
    manifest.write_bytes(manifest.read_bytes().replace(b"pump.toml", b"punp.toml"))
    assert reason(hospital, own)[0] == "changed"
    hospital.sign_file(manifest, "manifest", "release-1", file="own/MANIFEST")
    assert reason(hospital, own) == ("unsigned", "is not signed")


def test_packaged_profiles_take_a_release_key(hospital: Hospital, own: Path) -> None:
    (own / MANIFEST).write_bytes(write_manifest(own))
    hospital.sign_file(own / MANIFEST, "manifest", "lev", file="own/MANIFEST")
    item = replace(Profiles([own]).item("acme/pump"), packaged=True)
    trust = Trust.read(hospital.etc_dir, hospital.now)
    with pytest.raises(TrustError) as fault:
        Folders(trust, Revisions(own / "state")).judge(item)
    assert fault.value.reason == "wrong_role"
    assert judge_profile(hospital, own) == "manifest"  # as an own folder it may be signed by a supplier


def test_the_manifest_of_the_packaged_profiles_has_all_of_them() -> None:
    packaged = Profiles()
    root = packaged.item(packaged.ids()[0]).root
    listed = read_manifest(write_manifest(root), "x")
    assert {f"{i}.toml" for i in packaged.ids()} <= listed.keys()
    for profile_id in packaged.ids():
        item = packaged.item(profile_id)
        assert all(f"{profile_id.split('/')[0]}/{name}" in listed for name in item.beside)


@pytest.mark.parametrize("data", [b"x", b"x\n", b"\xff\n", b"0" * 64 + b"  ../x\n", (b"0" * 64 + b"  a/b\n") * 2])
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(TrustError, match="no manifest"):
        read_manifest(data, "MANIFEST")


def test_what_is_verified_is_what_was_parsed(hospital: Hospital, own: Path) -> None:
    """A file that is swapped between reading and verifying changes neither."""
    sign_profile(hospital, own)
    profiles = Profiles([own])
    profile = profiles.get("acme/pump")
    (own / "acme/pump.toml").write_text("something else")
    trust = Trust.read(hospital.etc_dir, hospital.now)
    Folders(trust, Revisions(own / "state")).judge(profiles.item("acme/pump"))
    assert profiles.get("acme/pump") is profile


# Profiles are data.


@pytest.mark.parametrize(
    "profile_id",
    ["../acme/pump", "acme/../acme/pump", "/etc/passwd", "acme/pump\0", "acme", "", "acme/.pump", "./acme/pump"],
)
def test_no_id_leads_out_of_the_folder(own: Path, profile_id: str) -> None:
    (own / "acme/.pump.toml").write_text("")
    with pytest.raises(ProfileError, match="there is no profile"):
        Profiles([own]).get(profile_id)


def test_no_data_file_leads_out_of_the_folder(own: Path, tmp_path: Path) -> None:
    file = data_file(own)
    (tmp_path / "secret").write_bytes(file.read_bytes())
    file.unlink()
    file.symlink_to(tmp_path / "secret")
    with pytest.raises(ProfileError, match=file.name):
        Profiles([own]).item("acme/pump")


def test_all_is_judged_at_once(hospital: Hospital, own: Path, box: Box) -> None:
    config = Item(box.config, box.config.read_bytes(), box.config.name)
    profile = Profiles([own]).item("acme/pump")

    def judged() -> tuple[list[tuple[str, str]], int]:
        found = judge_all(hospital.etc_dir, box.state, "acquire", config, [profile], hospital.now)
        if not found.refused:
            found.accept()
        return [(r.what, r.fault.reason) for r in found.refused], len(found.verdicts)

    assert judged() == ([("acme/pump", "unsigned")], 1)
    sign_profile(hospital, own)
    assert not (box.state / "trust").exists()
    assert judged() == ([], 2)
    seen = json.loads((box.state / "trust/acquire/revisions.json").read_text())
    assert {name: rev for name, (rev, _) in seen.items()} == {
        "approvers:approvers.toml": 1,
        "configuration:mdi_config.toml": 1,
        "profile:acme/pump.toml": 1,
    }
    (hospital.folder / "approvers.toml").write_text("")
    assert judged() == ([("people", "changed")], 0)


def test_an_older_list_of_people_does_not_come_back(hospital: Hospital, own: Path, box: Box) -> None:
    config = Item(box.config, box.config.read_bytes(), box.config.name)
    hospital.write(rev=5)
    judge_all(hospital.etc_dir, box.state, "acquire", config, [], hospital.now).accept()
    hospital.write(rev=4)
    found = judge_all(hospital.etc_dir, box.state, "acquire", config, [], hospital.now)
    assert [(r.what, r.fault.reason) for r in found.refused] == [("people", "rolled_back")]


def test_one_root_key_is_refused(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path / "etc", roots=1)
    box = Box(hospital, tmp_path)
    config = Item(box.config, box.config.read_bytes(), box.config.name)
    found = judge_all(hospital.etc_dir, box.state, "", config, [], hospital.now)
    assert [(r.what, r.fault.reason) for r in found.refused] == [("roots", "too_few")]
