"""The words of a profile: every key with its types and meaning. One table for checking, docs and "did you mean"."""

from __future__ import annotations

from collections.abc import Mapping

MAX_TEXT = 512 * 1024  # a profile is a table, not a program: larger is refused (design: size caps)
VERIFIED = ("capture", "simulator", "paper")
KINDS = ("numeric", "waveform", "enumeration", "alert", "clock")
ALERT_TYPES = ("physiological", "technical", "advisory")
CATEGORIES = ("measurement", "calculation", "setting")
RAW_TYPES = ("u8", "i8", "u16", "i16", "u32", "i32", "f32", "u64", "i64", "f64", "bit")

Number = int | float
NUMBER: tuple[type, ...] = (int, float)
Keys = Mapping[str, tuple[tuple[type, ...], bool, str]]
"""key: (types, required, meaning). One table for checking, for the docs and for "did you mean"."""

METRIC_KEYS: Keys = {
    "n": ((int,), True, "number inside its channel: the last number of OBX-4"),
    "id": ((str,), True, "11073 reference id (MDC_…), or MDCX_… when there is no standard term"),
    "unit": ((str,), False, "unit of the value as stored and sent: UCUM text or MDC_DIM_…; none for enumerations"),
    "kind": ((str,), False, "numeric (default), waveform, enumeration, alert, or clock (offset of the device's clock)"),
    "category": ((str,), False, "measurement (default), calculation or setting"),
    "episodic": ((bool,), False, "true when it is measured now and then (cuff, bolus), not continuously"),
    "frame": ((str,), False, "frame kind that carries it; default: the channel's"),
    "object": ((int, str), False, "self-describing protocols: the protocol's id of the value"),
    "instance": ((int,), False, "self-describing protocols: tells two of one object apart (label); default any"),
    "at": ((int,), False, "fixed layouts: byte offset in the frame"),
    "type": ((str,), False, "fixed layouts: raw type: " + " ".join(RAW_TYPES)),
    "order": ((str,), False, "fixed layouts: byte order as ABCD, CDAB, BADC, DCBA …; default big-endian"),
    "bit": ((int,), False, "type bit: number of the bit in the big-endian u16 at `at`, 0 = lowest"),
    "scale": (NUMBER, False, "physical = raw x scale + offset; default 1"),
    "offset": (NUMBER, False, "physical = raw x scale + offset; default 0"),
    "raw_unit": ((str,), False, "unit after scale and offset, when it differs from `unit`: converted"),
    "raw_invalid": ((list,), False, "raw codes that mean: no value"),
    "range": ((list,), False, "[low, high] the device can mean, in `unit`; outside: flagged, never changed"),
    "values": ((list,), False, "enumeration: the list of [raw number or word, token]"),
    "limit_of": ((str,), False, "an alarm limit: path of the metric it is for, as 1.2.1.1; sent in its OBX-7 too"),
    "alert": ((str,), False, "kind alert: physiological, technical or advisory"),
    "of": ((str,), False, "kind alert: path of the metric it is about, when the device does not send that"),
    "text": ((str,), False, "kind alert: what is shown for it, when the device sends no text"),
    "priority": ((int,), False, "kind alert: 0 none, 1 low, 2 medium, 3 high, when the device does not send it"),
    "source": ((str,), False, "where this row comes from, when not the profile's source"),
}
CHANNEL_KEYS: Keys = {
    "path": ((str,), True, "containment MDS.VMD.CHAN, for example 1.2.1"),
    "vmd": ((str,), True, "11073 reference id of the VMD row"),
    "chan": ((str,), True, "11073 reference id of the channel row"),
    "frame": ((str,), False, "frame kind of its metrics"),
    "source": ((str,), False, "where its rows come from"),
    "metric": ((list,), True, "the metrics, one inline table to a line"),
}
PROFILE_KEYS: Keys = {
    "vendor": ((str,), True, "maker of the device"),
    "model": ((str,), True, "model or family"),
    "driver": ((str,), True, "driver that finds the frames"),
    "source": ((str,), True, "manual, section, or capture that the table comes from"),
    "verified": ((str,), True, "capture, simulator or paper"),
    "device": ((str,), True, "11073 reference id of the MDS row"),
    "files": ((list,), False, "data files beside the profile that the driver reads (DBC, EDS)"),
    "note": ((str,), False, "what a biomedical engineer should know"),
    "undetected_flips": (NUMBER, False, "share of single bit flips that change a value unseen, if not the driver's"),
    "experimental": ((str,), False, "why nobody may rely on it yet: off unless the configuration says so, all QUES"),
}
WIRING_KEYS: Keys = {
    "connector": ((str,), True, "connector and its pins, as on the device"),
    "cable": ((str,), True, "straight, null modem, or what else it takes"),
    "menu": ((str,), False, "where on the device the output is switched on"),
    "lines": ((list,), True, "settings of the line, the usual first: link keys of mdi_config.toml without the device"),
    "source": ((str,), True, "manual and section"),
}
TRANSMIT_KEYS: Keys = {"allow": ((list,), True, "patterns of bytes; each write is a sequence of these and no more")}
SECTIONS: Mapping[str, type] = {
    "profile": dict,
    "firmware": dict,
    "units": dict,
    "driver": dict,
    "transmit": dict,
    "wiring": dict,
    "channel": list,
    "since": list,
}
FIRMWARE_KEYS: Keys = {"ranges": ((list,), True, 'list of { min = "A.00", max = "M.99" }')}
RANGE_KEYS: Keys = {"min": ((str,), False, "first firmware"), "max": ((str,), False, "last firmware")}
SINCE_KEYS: Keys = {
    "firmware": ((str,), True, "first firmware that has these channels"),
    "channel": ((list,), True, "the channels added or replaced"),
}
BOUNDS = {"n": (1, 65535), "at": (0, 65535), "bit": (0, 15), "priority": (0, 3)}  # a bit is one of a u16
CHOICES = (("kind", KINDS), ("category", CATEGORIES), ("type", RAW_TYPES), ("alert", ALERT_TYPES))
