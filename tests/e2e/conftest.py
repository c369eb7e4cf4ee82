"""What the tests with a broker share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.broker import Mosquitto, mosquitto
from tests.parts.messages import ACK_TOPIC
from tests.parts.mqtt import Raw


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path / "broker") as made:
        yield made


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "kita.db"


@pytest.fixture
def raw(broker: Mosquitto) -> Iterator[Raw]:
    made = Raw(broker.port, ACK_TOPIC)
    yield made
    made.close()
