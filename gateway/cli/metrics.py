"""mdi metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.run import DEFAULT, ConfigOption, stop_on_signals
from gateway.config import read_config
from gateway.core.errors import ConfigError, LinkError
from gateway.status import read_live_status

LISTEN_PORT = 9464  # the port that the registry of Prometheus exporters leaves to exporters of programs' own metrics


def metrics(
    config: ConfigOption = DEFAULT,
    textfile: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write to this file (replaced whole), for the textfile reader of a node."),
    ] = None,
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS:PORT", help="Serve until ended; loopback unless you name another address.")
    ] = "",
) -> None:
    """Print what a running gateway counts, as Prometheus metrics.

    Reads the status files of the gateway: nothing is asked of the gateway itself. Labels are names of devices and
    ports; no value and nothing of a patient is in there. mdi_samples_unaccounted is 0, or there is a bug.

    \b
    mdi metrics
    mdi metrics --textfile /var/lib/prometheus/node-exporter/mdi.prom
    mdi metrics --listen 127.0.0.1:9464
    """
    try:
        import prometheus_client as prometheus

        from gateway.metrics import StatusCollector
    except ImportError:
        raise ConfigError(
            "the package prometheus-client is not installed", hint="pip install 'mdi-edge-gateway[metrics]'"
        ) from None
    read = read_config(config)
    registry = prometheus.CollectorRegistry()
    registry.register(StatusCollector(lambda: read_live_status(read)))
    if listen:
        _serve(prometheus, registry, listen)
    elif textfile:
        prometheus.write_to_textfile(str(textfile), registry)
    else:
        typer.echo(prometheus.generate_latest(registry).decode(), nl=False)


def _serve(prometheus: Any, registry: Any, listen: str) -> None:
    host, _, port = listen.rpartition(":")
    if not port.isdecimal():
        raise ConfigError(f"{listen!r} is no ADDRESS:PORT", hint=f"write 127.0.0.1:{LISTEN_PORT}")
    stop = stop_on_signals()
    try:
        server, thread = prometheus.start_http_server(int(port), addr=host or "127.0.0.1", registry=registry)
    except (OSError, OverflowError) as fault:
        raise LinkError(f"cannot listen: {fault}", listen, "choose a free port of this machine") from fault
    typer.echo(f"metrics at http://{host or '127.0.0.1'}:{server.server_port}/metrics", err=True)
    stop.wait()
    server.shutdown()
    thread.join()
