"""The judge of `mdi run`: python -m gateway.cli.judge CONFIG. Exit code 0, or one line and another code."""

from __future__ import annotations

import sys
from pathlib import Path

from gateway import service
from gateway.config import read_config
from gateway.core.errors import MdiError
from gateway.hl7_validate import validate_encoder


def main() -> None:
    """Judge one message of each device's plan."""
    config = read_config(Path(sys.argv[1]))
    done = Path(config.gateway.state_dir) / "validated"
    for device in config.devices:
        plan = config.plan(device)
        validate_encoder(plan, service.encoder(config, device.number, plan), done)


if __name__ == "__main__":
    try:
        main()
    except MdiError as fault:
        sys.stderr.write(f"{fault}\n")
        sys.exit(fault.exit_code)
