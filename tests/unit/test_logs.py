"""The log says words of the program and of the configuration, numbers, and nothing else, whoever composes the line."""

import importlib
import io
import json
import logging
import random
from collections.abc import Iterator

import pytest

from gateway import registry
from gateway.core.frame import Fault, Identified, NeedData
from gateway.core.personal import looks_personal
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.logs import JsonFormatter, TextFormatter, in_form, set_up, trace
from gateway.words import Words, presentable
from tests.parts import canary

PROFILES = {profile.id: profile for profile in registry.Profiles()}


@pytest.fixture(scope="module")
def words() -> Words:
    made = Words()
    made.learn(["bed-7", "gw-test", "/dev/ttyUSB0"])
    return made


@pytest.fixture(params=[TextFormatter, JsonFormatter])
def log(request, words) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    stream, logger = io.StringIO(), logging.getLogger("mdi.test_logs")
    to = logging.StreamHandler(stream)
    to.setFormatter(request.param(words))
    logger.addHandler(to)
    logger.setLevel(logging.DEBUG)
    yield logger, stream
    logger.removeHandler(to)


def test_a_line_of_ours_is_whole(log):
    logger, stream = log
    logger.warning("port %s: receiving", "bed-7")
    assert "port bed-7: receiving" in stream.getvalue()


@pytest.mark.parametrize("secret", canary.ALL)
def test_no_way_into_a_line_lets_a_secret_out(log, secret):
    logger, stream = log
    logger.error("port %s: %s", "bed-7", secret)
    logger.error(f"port: {secret}")  # composed before
    logger.error("%s", {"a": [secret]})
    logger.error("%s", ValueError(secret))
    logger.debug(secret)
    try:
        try:
            raise KeyError(secret)
        except KeyError as fault:
            raise ValueError(f"bytes {secret!r} {secret.encode()!r}") from fault
    except ValueError:
        logger.exception("port %s: bug", "bed-7")
    assert canary.leaks(stream.getvalue()) == []
    assert "test_no_way_into_a_line" in stream.getvalue()  # the trace still says where


def test_the_canary_can_fail():
    """Python's own formatter leaks, and the test above would see it."""
    stream, logger = io.StringIO(), logging.getLogger("mdi.test_logs_leaky")
    to = logging.StreamHandler(stream)
    logger.addHandler(to)
    logger.error("port: %s", canary.NAMES[0])
    logger.removeHandler(to)
    assert canary.leaks(stream.getvalue())


def test_a_library_is_not_quoted(words):
    record = logging.LogRecord("paho.mqtt", logging.ERROR, "client.py", 7, "received %s", ("anything at all",), None)
    assert TextFormatter(words).format(record) == "ERROR paho.mqtt: a word of a library, withheld (client, line 7)"


def test_json_lines_are_json(words):
    record = logging.LogRecord("mdi", logging.INFO, "x.py", 7, "port %s: receiving", ("bed-7",), None)
    said = json.loads(JsonFormatter(words).format(record))
    assert (said["level"], said["logger"], said["text"]) == ("info", "mdi", "port bed-7: receiving")


def test_the_configuration_chooses_the_form_and_the_command_line_wins(words, capsys):
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    try:
        for asked, form, is_json in ((False, "text", False), (False, "json", True), (True, "text", True)):
            set_up(logging.INFO, asked, words)
            in_form(form)
            logging.getLogger("mdi.test").warning("port %s: receiving", "bed-7")
            line = capsys.readouterr().err
            assert line.startswith("{") == is_json, (asked, form)
            assert "port bed-7: receiving" in line
    finally:
        logging.basicConfig(level=level, handlers=kept, force=True)


def test_a_status_shows_no_more_than_a_line(words):
    shown = presentable({"state": canary.NAMES[0], canary.CPRS[0]: [canary.DEVICE[0], 7, None, True]}, words)
    assert canary.leaks(json.dumps(shown, ensure_ascii=False)) == []
    assert list(shown.values())[1][1:] == [7, None, True]


def test_hashes_pass_and_numbers_of_persons_do_not(words):
    assert words.shown("a3f9bd0011c0ffee") == "a3f9bd0011c0ffee"
    assert words.shown("0101901234") == "…"
    assert words.shown("x 010190-1234 y") == "x … y"
    assert not looks_personal("1800000000")  # a time; the day would be 18, the month 00


def test_a_trace_has_no_locals(words):
    secret = canary.NAMES[0]
    try:
        raise RuntimeError(secret)
    except RuntimeError as fault:
        lines = trace(fault, words)
    assert lines[0].startswith("RuntimeError")
    assert canary.leaks("\n".join(lines)) == []


def spoken(profile) -> bytes:
    """What the simulator of a profile says in ten seconds."""
    protocol = registry.driver(profile.driver).protocol([DeviceSpec(0, profile)], {})
    device = registry.driver(profile.driver).simulator([DeviceSpec(0, profile)], {}, Scene())
    protocol.start(0.0)
    said, now = b"", 0.0
    while now < 10:
        device.receive_data(protocol.data_to_send(now), now)
        data = device.data_to_send(now)
        said += data
        protocol.receive_data(data, int(now * 1e9))
        while not isinstance(protocol.next_event(), NeedData):
            pass
        now += 0.25
    return said


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_what_a_driver_reports_shows_no_text_of_the_device(profile, words):
    """Each driver, by being registered: its stream with names and numbers put in; reasons are words of the program."""
    rng = random.Random(profile.id)
    clean = spoken(profile)
    protocol = registry.driver(profile.driver).protocol([DeviceSpec(0, profile)], {})
    protocol.start(0.0)
    shown = []
    for n, secret in enumerate(canary.ALL * 4):
        at = rng.randrange(len(clean) + 1)
        for encoding in ("utf-8", "utf-16-be"):
            protocol.data_to_send(n / 10)
            try:
                protocol.receive_data(clean[max(0, at - 400) : at] + secret.encode(encoding) + clean[at : at + 200], n)
            except Exception as fault:  # the exams say that this never happens; here it would be a line of the log
                shown += trace(fault, words)
            while not isinstance(event := protocol.next_event(), NeedData):
                if isinstance(event, Fault):
                    shown.append(words.shown(f"device: {event.reason}"))
                    assert event.reason == words.shown(event.reason)
                elif isinstance(event, Identified):
                    shown.append(words.shown(event.firmware))  # its serial number is not logged
    assert canary.leaks("\n".join(shown)) == []


COMMON = """Nielsen Jensen Hansen Andersen Pedersen Christensen Larsen Sørensen Rasmussen Jørgensen Petersen Madsen
Kristensen Olsen Thomsen Poulsen Johansen Knudsen Mortensen Møller Peter Jens Lars Michael Henrik Thomas Søren Jan
Christian Martin Niels Hans Jørgen Anne Mette Kirsten Hanne Helle Anna Susanne Lene Maria Marianne Inge Karen"""


@pytest.mark.parametrize("name", COMMON.split())  # of Denmark (Danmarks Statistik: the most common names)
def test_a_common_name_is_no_word_of_the_program(words, name):
    assert importlib.import_module("gateway.cli.app")  # all that is ever loaded
    assert name not in words.shown(f"port bed-7: {name}")
