"""What the driver can complain of."""

from __future__ import annotations

FAULTS: dict[str, str] = {
    "noise": "Bytes outside of messages, once at the beginning is normal: otherwise check baud rate (9600) and cable.",
    "text": "A message with a byte that is no text, thrown away: check the cable and its shield.",
    "too_long": "A message without an end, thrown away: check the cable and its length.",
    "line": "A line of a message is not built as this driver knows it and is not shown: check the cable, or report it.",
    "silent": "The monitor has sent nothing for ten seconds: switch it on, check the cable and its serial output.",
}
