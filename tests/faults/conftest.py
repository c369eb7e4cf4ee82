"""What the rows share."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every row starts real processes."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.path.name.startswith("test_f"):
            for mark in (pytest.mark.fault, pytest.mark.e2e, pytest.mark.slow):
                item.add_marker(mark)
