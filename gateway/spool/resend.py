"""The owner's part of resending rejected messages: see rejected.py."""

from __future__ import annotations

import msgspec

from gateway.core.message import Message
from gateway.spool.files import Disk
from gateway.spool.layout import RecordFlag, message_payload, number_of
from gateway.spool.rejected import REQUESTS, Rejected, Request, Resent, latest, parse
from gateway.spool.sidefile import RejectedFile
from gateway.spool.store import Store
from gateway.spool.times import iso

AT_ONCE = 200  # messages in one go: the thread that sends waits for it
_MOST_REQUEST_BYTES = 1 << 20


class Resender:
    """Looks for requests and does them, a part at a time. compressed: whether what is appended is compressed."""

    def __init__(self, disk: Disk, store: Store, rejected: RejectedFile, compressed: bool) -> None:
        self._disk = disk
        self._folder = store.path / REQUESTS
        self._store = store
        self._rejected = rejected
        self._compressed = compressed
        disk.files.make_dir(self._folder)

    def look(self) -> None:
        """Do the oldest request, or a part of it. Raises SpoolRefused when the disk does not take it now."""
        names = sorted(name for name in self._disk.names(self._folder) if name.endswith(".json"))
        if names:
            self._do(names[0])

    def _do(self, name: str) -> None:
        done = {e.resent for e in parse(self._rejected.lines()) if isinstance(e, Resent) and e.request == name}
        wanted = [control_id for control_id in self._wanted(name) if control_id not in done]
        part = dict.fromkeys(wanted[:AT_ONCE])
        found: dict[str, Rejected] = {}
        for entry in parse(self._rejected.lines()) if part else ():
            if isinstance(entry, Rejected) and entry.control_id in part:
                found[entry.control_id] = entry
        seqs = {control_id: self._resend(found[control_id]) if control_id in found else 0 for control_id in part}
        self._store.sync()
        now = iso(self._store.clock()[1])
        for control_id, seq in seqs.items():
            self._rejected.append(msgspec.json.encode(Resent(control_id, name, now, seq)))
        if len(wanted) <= AT_ONCE:
            self._disk.remove(self._folder / name)
            self._disk.sync_dir(self._folder)

    def _resend(self, entry: Rejected) -> int:
        """Append the same bytes under the same control id; return the seq.

        One that waits already is left alone: resent before, or never let go, because a crash came before the cursor
        knew that it was rejected.
        """
        store = self._store
        for waits in (store.resent.get(entry.control_id, 0), number_of(entry.control_id)[1]):
            if 0 < waits <= store.durable and not store.gone(waits):
                stored = store.stored(waits)
                if stored and stored.message.control_id == entry.control_id:
                    return waits
        flags = RecordFlag.RESENT
        flags |= RecordFlag.PERIODIC if entry.periodic else 0
        flags |= RecordFlag.ZSTD if self._compressed else 0
        seq = store.next_seq
        message = Message(seq, entry.control_id, entry.topic, entry.payload)
        store.append(message_payload(message, entry.extent, flags), entry.extent, flags, entry.clock_quality)
        store.resent[entry.control_id] = seq
        store.counters.rejected -= 1
        store.counters.resent += 1
        samples = store.tally(entry.extent.device)
        samples.rejected -= entry.extent.count
        samples.resent += entry.extent.count
        return seq

    def _wanted(self, name: str) -> list[str]:
        """Return the control ids that a request names; none for one that cannot be read."""
        fd = self._disk.open(self._folder / name)
        data = self._disk.read(fd, _MOST_REQUEST_BYTES, 0)
        self._disk.close(fd)
        try:
            request = msgspec.json.decode(data, type=Request)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return []
        if request.every:
            return [control_id for control_id, (_, at) in latest(self._rejected.lines()).items() if not at]
        return request.resend
