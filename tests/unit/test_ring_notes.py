"""Notes of a ring: written once by the port, read by the forwarder, kept when either is started anew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.notes import MAX_NOTES, NOTE_BYTES
from gateway.core.ring import RingWriter
from gateway.core.ring_layout import PlanName, buffer_size, format_buffer
from gateway.core.ring_reader import RingReader
from gateway.core.sample import SAMPLE
from gateway.ring_file import RingFile


def ring(slots: int = 64) -> memoryview:
    buffer = memoryview(bytearray(buffer_size(slots)))
    format_buffer(buffer, slots)
    return buffer


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=200), max_size=40))
def test_each_text_has_one_number_and_the_reader_reads_it_back(texts: list[str]) -> None:
    buffer = ring()
    writer, reader = RingWriter(buffer), RingReader(buffer)
    numbers = {text: writer.index(text) for text in texts}
    assert {text: writer.index(text) for text in texts} == numbers
    for text, number in numbers.items():
        assert reader.note(number) == text.encode()[:NOTE_BYTES].decode(errors="ignore")
    kept = {text.encode()[:NOTE_BYTES].decode(errors="ignore") for text in texts}
    assert sorted(set(numbers.values())) == list(range(1, len(kept) + 1))


def test_a_full_table_says_0_and_damages_nothing() -> None:
    buffer = ring()
    writer, reader = RingWriter(buffer), RingReader(buffer)
    block = np.zeros(1, SAMPLE)
    block["value"] = 97.5
    writer.publish(block, writer.add_plan(PlanName(b"p" * 32, "vendor/model", "1")))
    assert [writer.index(f"æ {i}") for i in range(MAX_NOTES + 3)] == [*range(1, MAX_NOTES + 1), 0, 0, 0]
    assert [reader.note(i) for i in (1, MAX_NOTES)] == ["æ 0", f"æ {MAX_NOTES - 1}"]
    assert [reader.note(i) for i in (0, -1, MAX_NOTES + 1, 65535)] == ["", "", "", ""]
    assert writer.index("æ 7") == 8  # what is in it is still known
    (read,) = reader.read(10)
    assert (float(read.rows["value"][0]), reader.torn) == (97.5, 0)


def test_a_writer_that_is_started_anew_goes_on_with_the_same_numbers() -> None:
    buffer = ring()
    long = "Å" * 100  # is cut: known by what is kept of it
    before = RingWriter(buffer)
    numbers = [before.index(text) for text in ("16000000", long, "1.2.1.1|Lav iltmætning")]
    again = RingWriter(buffer)
    assert [again.index(text) for text in ("1.2.1.1|Lav iltmætning", long, "16000000")] == numbers[::-1]
    assert again.index("new") == 4
    assert RingReader(buffer).note(4) == "new"


def test_a_ring_made_anew_has_no_notes() -> None:
    buffer = ring()
    RingWriter(buffer).index("16000000")
    buffer[:] = bytes(len(buffer))
    format_buffer(buffer, 64)
    assert RingReader(buffer).note(1) == ""
    assert RingWriter(buffer).index("4000000") == 1


WRITER = """
import sys
from pathlib import Path
import numpy as np
from gateway.core.ring_layout import PlanName
from gateway.core.sample import SAMPLE
from gateway.ring_file import RingFile

ring = RingFile(Path(sys.argv[1]), 16384, "writer").writer()
plan = ring.add_plan(PlanName(b"d" * 32, "a/b", ""))
for i in range(600):
    block = np.zeros(3, SAMPLE)
    block["value"], block["note"] = i % 500, ring.index(f"alert {i % 500} på {i % 7}")
    ring.publish(block, plan)
"""


def test_another_process_reads_the_note_of_every_row(tmp_path: Path) -> None:
    """500 texts in 600 blocks, two writers one after the other: a row never comes with the text of another."""
    path = tmp_path / "bed.ring"
    file = RingFile(path, 16384, "reader")
    reader, rows = file.reader(), 0
    for _ in range(2):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
        alive = True
        while alive or reader.waiting:
            alive = child.poll() is None
            for block in reader.read(1000):
                for value, note in zip(block.rows["value"].tolist(), block.rows["note"].tolist(), strict=True):
                    assert note <= 512
                    if note:
                        assert reader.note(note).startswith(f"alert {value:g} på ")
                    rows += 1
            reader.release()
        assert child.wait() == 0
    assert (rows, reader.torn, reader.dropped) == (2 * 1800, 0, 0)
    file.close()
