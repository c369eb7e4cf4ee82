"""Where data may go, and with which protection."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config import Config
from gateway.security.policy.conduits import as_address, of_sink
from gateway.security.policy.registry import Broken, Facts, rule


@rule("sink-conduit", "Data goes only where a conduit leads: host and port of the broker, or a folder.")
def sink_conduit(config: Config, _facts: Facts) -> Iterator[Broken]:
    """A sink that no conduit covers, or that does not say where it leads."""
    if not config.sink_kind.ways(config.sink):
        what = f"sink {config.sink_kind.name} does not say where it leads"
        yield Broken(("sink", "kind"), what, "have its SinkKind tell its ways")
    for way, conduit in of_sink(config):
        if conduit is None:
            hint = f"correct it, or have a [[conduit]] of kind {way.kind} for it approved"
            yield Broken(("sink", way.key), f"no conduit allows {way}", hint)


@rule("sink-san", "The conduit to the broker names one host and the name in its certificate.")
def sink_san(config: Config, _facts: Facts) -> Iterator[Broken]:
    """A network, or no name: then any server with a certificate of the CA would do."""
    for i, conduit in enumerate(config.conduits):
        if conduit.kind != "mqtt":
            continue
        if not conduit.san:
            yield Broken(("conduit", i, "san"), "it names no certificate", "write the DNS name of the broker")
        if "/" in conduit.host:
            yield Broken(("conduit", i, "host"), f"{conduit.host} is more than one broker", "name one host")
        elif conduit.san and as_address(conduit.host) is None and conduit.san.lower() != conduit.host.lower():
            what = f"san {conduit.san} is not the host {conduit.host} that is connected to"
            yield Broken(("conduit", i, "san"), what, "write the same name, or the address as host")


@rule("sink-tls", "What leaves is encrypted, to a broker that is checked against a named CA.")
def sink_tls(config: Config, _facts: Facts) -> Iterator[Broken]:
    """No CA: no TLS at all."""
    if config.sink_kind.name == "mqtt" and not config.sink.ca:
        yield Broken(("sink", "ca"), "no CA, so no TLS: all would leave in clear", "name the CA file of the broker")


@rule("sink-mutual", "The gateway shows a certificate of its own to the broker.")
def sink_mutual(config: Config, _facts: Facts) -> Iterator[Broken]:
    """No client certificate: the broker cannot tell gateways apart."""
    if config.sink_kind.name == "mqtt" and not (config.sink.cert and config.sink.key):
        hint = "write cert and key: mdi certs csr makes them"
        yield Broken(("sink", "cert"), "the broker could not know who this is", hint)


@rule("sink-mqtt5", "The broker is spoken to by MQTT 5: older ones cannot say that a message was refused.")
def sink_mqtt5(config: Config, _facts: Facts) -> Iterator[Broken]:
    """Measured: a broker's access list dropped messages of MQTT 3.1.1 and confirmed them."""
    if config.sink_kind.name == "mqtt" and config.sink.protocol != "mqtt5":
        yield Broken(("sink", "protocol"), f"{config.sink.protocol} hides refusals", 'write protocol = "mqtt5"')


@rule("tls-1.2", "TLS 1.3; 1.2 only by name, for a broker that can do no better.", stops=False)
def tls_12(config: Config, _facts: Facts) -> Iterator[Broken]:
    """It was named, so it is allowed; the reviewer sees it."""
    if config.security.tls_min == "1.2":
        hint = 'have the broker speak TLS 1.3, then write tls_min = "1.3"'
        yield Broken(("security", "tls_min"), "TLS 1.2 is allowed", hint)


@rule("name-service", "Hosts are addresses, or a conduit leads to a name server.", stops=False)
def name_service(config: Config, _facts: Facts) -> Iterator[Broken]:
    """A name costs a way more, and whoever answers for it says where data goes; /etc/hosts is as good as an address."""
    if any(conduit.kind == "dns" for conduit in config.conduits):
        return
    hosts = [(("sink", way.key), way.host) for way in config.sink_kind.ways(config.sink)]
    for i, port in enumerate(config.ports):
        hosts += [(("port", i, "link", way.key), way.host) for way in port.link_kind.ways(port.link)]  # type: ignore[misc]
    for path, host in hosts:
        if host and as_address(host) is None:
            hint = "write the address (and san), put it into /etc/hosts, or have a conduit of kind dns approved"
            yield Broken(path, f"{host} is a name, and no conduit leads to a name server", hint)
