"""What lies on the disk when there is a key: nothing readable, and nothing that can be changed unseen."""

from __future__ import annotations

import copy
import errno
from pathlib import Path

import pytest
from fastcrc.crc32 import iscsi as crc32c

from gateway.core.errors import ConfigError
from gateway.core.message import Message
from gateway.security.seal import OVERHEAD, Seal
from gateway.spool import Extent, Spool, SpoolRefused
from gateway.spool.layout import HEADER_BYTES, decode_header, parse_name, record_size
from tests.model.crash_seal import watched
from tests.model.spool_disk import MemoryDisk

ROOT = Path("/spool")
KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
SECRET = "CANARY-9f1c"
DEVICE = "stue3-seng2"
OLDER, NEWER = (1, 2, 3), (4, 5, 6)
SEALED = [KEY]


def start(disk: MemoryDisk, keys: list[bytes] | None = SEALED, gateway: str = "gw", root: Path = ROOT) -> Spool:
    return Spool.open(
        root,
        gateway=gateway,
        segment_bytes=16384,
        limit_bytes=10**6,
        seal=Seal(keys) if keys else None,
        files=disk,
        clock=lambda: (5, 18 * 10**17),
    )


def payload(seq: int) -> bytes:
    return f"MSH|{SECRET}-{seq}|".encode() * 60


def append(spool: Spool, n: int) -> None:
    for _ in range(n):
        seq, control_id = spool.next_control_id()
        extent = Extent(DEVICE, seq * 10, seq * 10 + 9, 10, seq, seq)
        spool.append(Message(seq, control_id, f"t/{SECRET}", payload(seq)), extent)
    spool.sync()


def filled(keys: list[bytes] | None = SEALED, gateway: str = "gw", root: Path = ROOT) -> MemoryDisk:
    """Return a disk with two lives of a spool on it, three messages of each, that nobody has open."""
    disk = MemoryDisk()
    for _ in range(2):
        spool = start(disk, keys, gateway, root)
        append(spool, 3)
        spool.close()
    disk.kill()
    return disk


def with_messages(disk: MemoryDisk, root: Path = ROOT) -> list[Path]:
    found = disk.paths(f"{root}/segment-*")
    return [path for path in found if len(bytes(disk.content(path)).rstrip(b"\0")) > HEADER_BYTES + 3 * 1000]


def waiting(spool: Spool) -> dict[int, bytes]:
    return {message.seq: message.payload for message in spool.unacknowledged()}


def whole(*seqs: int) -> dict[int, bytes]:
    return {seq: payload(seq) for seq in seqs}


def told(spool: Spool) -> list[tuple[str, int, int]]:
    return [(loss.reason, loss.first_message, loss.last_message) for loss in spool.losses()]


def records(disk: MemoryDisk, path: Path) -> list[tuple[int, int]]:
    """Return offset and length of each record of a segment."""
    data, identity = bytes(disk.content(path)), parse_name(path.name)
    assert identity
    at, found = HEADER_BYTES, []
    while size := record_size(data, at, identity.salt("gw")):
        found.append((at, size))
        at += size
    return found


def forge(disk: MemoryDisk, path: Path, at: int, size: int) -> None:
    """Make the checksum of a record right, as somebody can who knows the format."""
    data, identity = disk.content(path), parse_name(path.name)
    assert identity
    start_of = crc32c(bytes(data[at : at + 4]), identity.salt("gw"))
    data[at + 4 : at + 8] = crc32c(bytes(data[at + 8 : at + size]), start_of).to_bytes(4, "little")
    disk.settle(path)


def test_nothing_of_a_message_can_be_read_on_the_disk() -> None:
    for keys, found in ((None, True), (SEALED, False)):
        disk = filled(keys)
        spool = start(disk, keys)
        assert spool.reject(1, "AE")
        spool.sync()
        raw = b"".join(bytes(disk.content(path)) for path in disk.paths("/spool/**/*"))
        raw += b"".join(bytes(disk.content(path)) for path in disk.paths("/spool/*"))
        assert (SECRET.encode() in raw) == found
        assert waiting(spool) == whole(2, 3, 4, 5, 6)


def test_the_mark_stands_in_header_and_name_and_names_the_key() -> None:
    disk = filled()
    for path in disk.paths("/spool/segment-*"):
        identity, header = parse_name(path.name), decode_header(bytes(disk.content(path)))
        assert identity
        assert header
        assert header.identity == identity
        assert header.version == 3
        assert identity.mark.startswith(Seal([KEY]).key_id)


def test_every_flipped_bit_costs_its_record_and_no_other_and_is_declared() -> None:
    disk = filled()
    path = with_messages(disk)[0]
    messages = dict(zip(OLDER, records(disk, path)[-3:], strict=True))
    end = sum(messages[3])
    for at in (*range(0, 160), *range(160, HEADER_BYTES, 501), *range(HEADER_BYTES, end, 7)):
        hurt = copy.deepcopy(disk)
        hurt.content(path)[at] ^= 0x10
        hurt.settle(path)
        spool = start(hurt)
        hit = [seq for seq, (begin, size) in messages.items() if begin <= at < begin + size]
        assert told(spool) == [("damaged", seq, seq) for seq in hit], at
        assert waiting(spool) == whole(*sorted({*OLDER, *NEWER} - set(hit))), at


@pytest.mark.parametrize("where", ["type", "time", "counter", "text", "tag"])
def test_what_somebody_changes_with_a_right_checksum_is_called_tampered(where: str) -> None:
    disk = filled()
    path = with_messages(disk)[0]
    at, size = records(disk, path)[-2]
    offset = {"type": 9, "time": 26, "counter": 43, "text": 300, "tag": size - 1}[where]
    disk.content(path)[at + offset] ^= 1
    forge(disk, path, at, size)
    spool = start(disk)
    assert spool.report.changed == [parse_name(path.name).number]  # type: ignore[union-attr]
    assert told(spool) == [("tampered", 2, 2)]
    assert waiting(spool) == whole(1, 3, 4, 5, 6)


def test_records_that_have_changed_places_are_called_tampered() -> None:
    disk = filled()
    path = with_messages(disk)[0]
    (one, size), (two, as_long) = records(disk, path)[-3:-1]
    assert size == as_long
    data = disk.content(path)
    data[one : one + size], data[two : two + size] = data[two : two + size], data[one : one + size]
    disk.settle(path)
    spool = start(disk)
    assert spool.report.changed
    assert told(spool) == [("tampered", 1, 2)]
    assert waiting(spool) == whole(3, 4, 5, 6)


def test_a_record_of_another_segment_is_no_record_here() -> None:
    disk = filled()
    first, second = with_messages(disk)
    (one, size), (two, as_long) = records(disk, first)[-1], records(disk, second)[-1]
    assert size == as_long
    disk.content(second)[two : two + size] = disk.content(first)[one : one + size]
    forge(disk, second, two, size)
    spool = start(disk)
    assert (spool.report.changed, told(spool)) == ([parse_name(second.name).number], [("tampered", 6, 6)])  # type: ignore[union-attr]


def test_segments_that_have_changed_places_are_called_tampered() -> None:
    disk = filled()
    first, second = with_messages(disk)
    one, two = bytes(disk.content(first)), bytes(disk.content(second))
    disk.content(first)[:], disk.content(second)[:] = two, one
    for path in (first, second):
        disk.settle(path)
    spool = start(disk)
    assert len(spool.report.changed) == 2
    assert {reason for reason, _, _ in told(spool)} == {"tampered"}
    assert sum(loss.messages for loss in spool.losses()) == 6


def test_a_segment_of_another_gateway_under_the_same_key_is_called_tampered() -> None:
    disk, theirs = filled(), filled(gateway="gx")
    ours, other = with_messages(disk)[0], with_messages(theirs)[0]
    body = bytes(theirs.content(other))[HEADER_BYTES:]
    data = disk.content(ours)
    data[HEADER_BYTES:] = body[: len(data) - HEADER_BYTES]
    disk.settle(ours)
    spool = start(disk)
    assert told(spool)[0][1:] == (1, 3)
    assert waiting(spool) == whole(*NEWER)


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_an_older_copy_of_a_segment_is_noticed(kept: int) -> None:
    """Put back as it was after fewer messages: every record is good, and what came later is declared lost."""
    disk = filled()
    path = with_messages(disk)[0]
    at, _ = records(disk, path)[-3 + kept]
    del disk.content(path)[at:]
    disk.settle(path)
    spool = start(disk)
    assert told(spool) == [("damaged", kept + 1, 3)]
    assert waiting(spool) == whole(*OLDER[:kept], *NEWER)


def test_a_plain_segment_behind_sealed_ones_is_not_believed() -> None:
    """Somebody who has no key writes messages of his own."""
    disk, forged = filled(), filled(keys=None)
    newest = parse_name(disk.paths("/spool/segment-*")[-1].name)
    assert newest
    plain = newest._replace(number=newest.number + 1, epoch=newest.epoch + 1, first_seq=7, mark="")
    disk.close(disk.open(ROOT / plain.name, create=True))
    disk.content(ROOT / plain.name)[:] = bytes(forged.content(with_messages(forged)[0]))
    disk.settle(ROOT / plain.name)
    spool = start(disk)
    assert spool.report.changed == [plain.number]
    assert waiting(spool) == whole(*OLDER, *NEWER)


def test_without_its_key_a_sealed_spool_is_refused_and_nothing_is_touched() -> None:
    disk = filled()
    before = {path: bytes(disk.content(path)) for path in disk.paths("/spool/segment-*")}
    for keys in (None, [OTHER]):
        with pytest.raises(ConfigError, match=f"sealed with the key {Seal([KEY]).key_id}, which is not here → load"):
            start(disk, keys)
        disk.kill()
        assert {path: bytes(disk.content(path)) for path in disk.paths("/spool/segment-*")} == before
    assert waiting(start(disk)) == whole(*OLDER, *NEWER)


def test_a_plain_spool_is_sent_and_goes_on_sealed() -> None:
    disk = filled(keys=None)
    spool = start(disk)
    assert spool.report.plain == len(disk.paths("/spool/segment-*")) - 1
    append(spool, 3)
    assert waiting(spool) == whole(*range(1, 10))
    for seq in range(1, 7):
        assert spool.ack(seq)
    spool.checkpoint()
    spool.checkpoint()
    raw = b"".join(bytes(disk.content(path)) for path in disk.paths("/spool/*"))
    assert SECRET.encode() not in raw, "what was plain is sent, and gone"
    assert waiting(spool) == whole(7, 8, 9)


def test_a_new_key_seals_and_the_one_before_opens_until_it_is_not_needed() -> None:
    disk = filled()
    spool = start(disk, [OTHER, KEY])
    append(spool, 1)
    assert waiting(spool) == whole(*range(1, 8))
    for seq in range(1, 7):
        spool.ack(seq)
    spool.checkpoint()
    spool.close()
    disk.kill()
    assert waiting(start(disk, [OTHER])) == whole(7)


def test_what_a_refused_write_has_sealed_is_never_sealed_over() -> None:
    """The bytes of a refused write may stand on the disk: the next record there has a nonce of its own."""
    disk = filled()
    with watched():
        spool = start(disk)
        bad = OSError(errno.EIO, "Input/output error")

        def before(operation: str) -> None:
            if operation == "write":
                raise bad

        disk.before = before
        with pytest.raises(SpoolRefused):
            spool.declare_loss(Extent(DEVICE, 1, 2, 2, 0, 0), "ring full")
        disk.before = lambda _: None
        append(spool, 1)
        spool.declare_loss(Extent(DEVICE, 3, 4, 2, 0, 0), "ring full")
    assert waiting(spool) == whole(*range(1, 8))


def test_rejected_messages_are_sealed_and_can_be_sent_again() -> None:
    for keys in (SEALED, [OTHER, KEY]):
        with watched():
            disk = filled()
            spool = start(disk)
            assert spool.reject(2, "AE no")
            spool.close()
            disk.kill()
            raw = bytes(disk.content(ROOT / "rejected" / "messages.jsonl"))
            assert raw.startswith(b'{"sealed":')
            assert b"AE no" not in raw
            path = ROOT / "requests" / "a.json"
            disk.close(disk.open(path, create=True))
            disk.content(path)[:] = b'{"resend": [], "every": true}'
            disk.settle(path)
            spool = start(disk, keys)
            assert spool.counters.resent == 1
            assert payload(2) in waiting(spool).values()


def test_sealing_adds_a_counter_and_a_tag_to_a_record() -> None:
    plain, sealed = ([size for _, size in records(d, with_messages(d)[0])] for d in (filled(None), filled()))
    assert [b - a for a, b in zip(plain, sealed, strict=True)] == [OVERHEAD] * len(plain)


def answered(keys: list[bytes] | None = SEALED) -> MemoryDisk:
    """Return a disk with a spool of six messages, of which the first is answered."""
    disk = filled(keys)
    spool = start(disk, keys)
    assert spool.ack(1)
    spool.close()
    disk.kill()
    return disk


def test_nobody_without_the_key_can_say_that_a_message_is_answered() -> None:
    disk, theirs = answered(), answered(None)
    assert waiting(start(copy.deepcopy(disk))) == whole(2, 3, 4, 5, 6)
    spool = start(theirs, None)
    for seq in range(2, 7):
        spool.ack(seq)
    spool.close()
    theirs.kill()
    forged = bytes(theirs.content(ROOT / "cursor"))
    for magic in (b"MDICURS1", b"MDICURS2"):
        hurt = copy.deepcopy(disk)
        slots = [magic + forged[at + 8 : at + len(forged) // 2] for at in (0, len(forged) // 2)]
        hurt.content(ROOT / "cursor")[:] = b"".join(slots)
        hurt.settle(ROOT / "cursor")
        spool = start(hurt)
        assert spool.report.cursor_slots_bad == 2
        assert waiting(spool) == whole(*OLDER, *NEWER), "sent once more, and nothing is lost"


@pytest.mark.parametrize("keys", [SEALED, [OTHER, KEY]], ids=["first key", "new key"])
def test_what_was_answered_stays_so_when_a_key_comes_or_changes(keys: list[bytes]) -> None:
    disk = answered(None if keys is SEALED else SEALED)
    for _ in range(2):
        spool = start(disk, keys)
        assert waiting(spool) == whole(2, 3, 4, 5, 6)
        spool.close()
        disk.kill()
