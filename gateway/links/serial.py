"""Serial lines: RS-232 and RS-485 through the Linux tty layer. pyserial opens and configures, poll() waits.

Four things that pyserial sets otherwise, or not at all, are set here, because a wrong byte is worse than a missing one:
  INPCK   on: a byte that came with a parity or framing error reads as NUL, which no checksum and no number survives.
          Off (pyserial's choice), the damaged byte is passed on as if it were good (termios(3)).
  BRKINT  off: a break on the line would throw away everything received but not yet read (termios(3)).
  VMIN    1: then a read of no bytes means that the port is gone. With 0 (pyserial's choice) an idle line reads so, too.
  TIOCEXCL on: no other program can open the port (root can: against our own kind flock stands beside it, by pyserial).

A port is named best by /dev/serial/by-id/…, which stays the same over a replug; /dev/ttyUSB0 may come back as ttyUSB1.
On a pty, parity, break and speed have no effect.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import termios
from dataclasses import dataclass, field

import serial

from gateway.core.errors import LinkError
from gateway.core.settings import Settings, setting
from gateway.core.way import Way
from gateway.links.base import Clock, LinkKind
from gateway.links.descriptor import DescriptorLink

_PARITY = {"none": "N", "even": "E", "odd": "O", "mark": "M", "space": "S"}  # pyserial's letters
_FLOW = ("none", "xon_xoff", "rts_cts")
_IFLAG, _CC = 0, 6  # places of the input flags and the control characters in what tcgetattr returns


@dataclass(frozen=True)
class SerialSettings(Settings):
    """Settings of a serial line. The device's manual says which; both ends must agree."""

    device: str = field(metadata=setting("Path of the serial port, best one below /dev/serial/by-id/."))
    baud: int = field(default=9600, metadata=setting("Speed of the line.", "bit/s", low=50, high=4_000_000))
    data_bits: int = field(default=8, metadata=setting("Data bits of one character.", "bit", choices=(5, 6, 7, 8)))
    parity: str = field(default="none", metadata=setting("Parity bit of one character.", choices=tuple(_PARITY)))
    stop_bits: int = field(default=1, metadata=setting("Stop bits of one character.", "bit", choices=(1, 2)))
    flow_control: str = field(
        default="none",
        metadata=setting("Who holds back whom. With xon_xoff the bytes 0x11 and 0x13 are no data.", choices=_FLOW),
    )


class SerialLink(DescriptorLink):
    """Implements Link on a serial port that no other program can open meanwhile."""

    gone = "the port is gone, unplugged?"

    def __init__(self, settings: SerialSettings, clock: Clock) -> None:
        super().__init__(settings.device, clock)
        self._settings = settings
        self._port: serial.Serial | None = None

    def _attach(self) -> int:
        try:
            self._port = _open(self._settings)
            _guard(self._port.fd)
        except OSError as error:
            raise _refused(self._where, error) from error
        except (ValueError, termios.error) as error:  # pyserial: the driver does not know this speed
            raise LinkError(f"cannot be set up: {error}", self._where) from error
        return int(self._port.fd)

    def _detach(self) -> None:
        if self._port is None:
            return
        # A port that was unplugged answers everything with an error; there is nothing left to let go of.
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._port.fd, termios.TIOCNXCL)
        with contextlib.suppress(OSError):
            self._port.close()
        self._port = None


def _open(settings: SerialSettings) -> serial.Serial:
    """Open in raw mode, DTR and RTS on (they power many isolating adapters), old input thrown away."""
    return serial.Serial(
        settings.device,
        settings.baud,
        bytesize=settings.data_bits,
        parity=_PARITY[settings.parity],
        stopbits=settings.stop_bits,
        xonxoff=settings.flow_control == "xon_xoff",
        rtscts=settings.flow_control == "rts_cts",
        exclusive=True,
    )


def _guard(line: int) -> None:
    """Set what the module text names, on top of pyserial's raw mode."""
    fcntl.ioctl(line, termios.TIOCEXCL)
    attributes = termios.tcgetattr(line)
    attributes[_IFLAG] = (attributes[_IFLAG] | termios.INPCK) & ~(termios.BRKINT | termios.IGNPAR)
    attributes[_CC][termios.VMIN] = 1
    termios.tcsetattr(line, termios.TCSANOW, attributes)


def _refused(device: str, error: OSError) -> LinkError:
    """Return why a port does not open, and what to do about it."""
    if error.errno == errno.ENOENT:
        return LinkError("no such port", device, "plug it in, or correct the name: ls /dev/serial/by-id/")
    if error.errno in (errno.EACCES, errno.EPERM):
        return LinkError("permission denied", device, "let the gateway's user read and write it (group dialout)")
    if error.errno in (errno.EBUSY, errno.EAGAIN):  # TIOCEXCL of another program, flock of another gateway
        return LinkError("in use by another program", device, f"find it with: fuser {device}")
    return LinkError(f"cannot be opened: {error.strerror or error}", device)


def _describe(settings: SerialSettings) -> str:
    """Return for example "/dev/ttyUSB0 19200 8E1"."""
    character = f"{settings.data_bits}{_PARITY[settings.parity]}{settings.stop_bits}"
    flow = "" if settings.flow_control == "none" else f" {settings.flow_control}"
    return f"{settings.device} {settings.baud} {character}{flow}"


LINK = LinkKind(
    name="serial",
    settings=SerialSettings,
    create=SerialLink,
    describe=_describe,
    resource=lambda settings: os.path.realpath(settings.device),
    ways=lambda settings: (Way("serial", "device", device=settings.device),),
)
