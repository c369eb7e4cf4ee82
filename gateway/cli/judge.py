"""The judge of `mdi run`: python -m gateway.cli.judge CONFIG. Exit code 0, or one line and another code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from gateway import service
from gateway.config import Config, read_config
from gateway.core.errors import MdiError
from gateway.core.hl7 import Encoder
from gateway.core.plan import Plan
from gateway.hl7_validate import validate_encoder


def main() -> None:
    """Judge one message of each device's plan."""
    for plan, encoder, done in specimens(read_config(Path(sys.argv[1]))):
        validate_encoder(plan, encoder, done)


def specimens(config: Config) -> Iterator[tuple[Plan, Encoder, Path]]:
    """Yield plan and encoder of each device, and the folder that remembers what was judged."""
    done = Path(config.gateway.state_dir) / "validated"
    for device in config.devices:
        plan = config.plan(device)
        yield plan, service.encoder(config, device, plan), done


if __name__ == "__main__":
    try:
        main()
    except MdiError as fault:
        sys.stderr.write(f"{fault}\n")
        sys.exit(fault.exit_code)
