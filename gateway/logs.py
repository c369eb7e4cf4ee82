"""The log of the whole program: one line for each event on standard error, for people or for machines.

What a line may say is decided by an allow-list (gateway.words). Texts of other libraries are not shown at all: their
logger, level and place are. A trace shows files, lines and functions, and of the exception its type and the words of
it that pass; never a local variable.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
import traceback
from types import TracebackType
from typing import Any

from gateway.words import WORDS, Words

OURS = ("mdi", "gateway", "kita", "drivers", "__main__")
QUIET = ("pymodbus", "can", "cantools", "amqtt", "transitions", "asyncio", "hl7apy", "paho", "weasyprint", "fontTools")
Fault = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def said(record: logging.LogRecord, words: Words) -> str:
    """Return what a record may say."""
    if record.name.split(".")[0] not in OURS:
        return f"a word of a library, withheld ({record.module}, line {record.lineno})"
    try:
        text = record.getMessage()
    except (TypeError, ValueError):
        text = "a line that cannot be put together: a bug, please report"
    return words.shown(" ".join(text.split()))


def trace(fault: BaseException, words: Words) -> list[str]:
    """Return a trace as lines: where, and what kind; of the text what passes."""
    lines = []
    seen: set[int] = set()
    at: BaseException | None = fault
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        lines.append(f"{type(at).__name__}: {words.shown(' '.join(str(at).split()))}".rstrip(": "))
        frames = traceback.extract_tb(at.__traceback__, limit=-20)
        lines += [f"  at {frame.filename}:{frame.lineno} in {frame.name}" for frame in reversed(frames)]
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return lines


class TextFormatter(logging.Formatter):
    """A line for people: LEVEL logger: text."""

    def __init__(self, words: Words) -> None:
        super().__init__()
        self.words = words

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and below it the trace."""
        lines = [f"{record.levelname} {record.name}: {said(record, self.words)}"]
        if record.exc_info and record.exc_info[1]:
            lines += trace(record.exc_info[1], self.words)
        return "\n".join(lines)


class JsonFormatter(TextFormatter):
    """One JSON object on a line: t, level, logger, text, trace."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        value: dict[str, Any] = {
            "t": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": said(record, self.words),
        }
        if record.exc_info and record.exc_info[1]:
            value["trace"] = trace(record.exc_info[1], self.words)
        return json.dumps(value, ensure_ascii=False)


def set_up(level: int, as_json: bool = False, words: Words = WORDS) -> None:
    """Let everything that is said go to standard error."""
    to = logging.StreamHandler(sys.stderr)
    to.setFormatter(JsonFormatter(words) if as_json else TextFormatter(words))
    logging.basicConfig(level=level, handlers=[to], force=True)
    for noisy in QUIET:
        logging.getLogger(noisy).setLevel(logging.ERROR)


def in_form(form: str) -> None:
    """Go on as [log] format has it: "json" or "text". Lines that --log-json asked for stay JSON."""
    for to in logging.getLogger().handlers:
        if form == "json" and type(to.formatter) is TextFormatter:
            to.setFormatter(JsonFormatter(to.formatter.words))


def catch_all() -> None:
    """Let what ends a thread or the program be said like all else: Python's own trace would show the text of it."""
    sys.excepthook = lambda _kind, fault, _at: crash(fault)
    threading.excepthook = lambda args: crash(args.exc_value) if args.exc_value else None
    sys.unraisablehook = lambda args: crash(args.exc_value) if args.exc_value else None


def crash(fault: BaseException) -> None:
    """Say what has ended a thread, or the program."""
    if isinstance(fault, (KeyboardInterrupt, SystemExit)):
        return
    logging.getLogger("mdi").critical("a bug, please report", exc_info=fault)
