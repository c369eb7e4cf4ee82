"""Points 11 to 17: the device side."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.security.dossier.checklist import Check, Finding, failed, not_applicable, passed, unknown
from gateway.security.dossier.facts import DeviceFact, Facts


def _of(facts: Facts, *links: str) -> list[DeviceFact]:
    return [device for device in facts.devices if device.link in links]


def _wrong(devices: list[DeviceFact]) -> str:
    return "; ".join(f"{d.name}: {', '.join(d.exam.wrong)}" for d in devices if d.exam.wrong)


def modbus(facts: Facts) -> Finding:
    """Point 11."""
    mine = [device for device in facts.devices if device.driver == "modbus"]
    if not mine:
        return not_applicable("no Modbus device", "ingen Modbus-enhed")
    if wrong := _wrong(mine):
        return failed(f"the gate lets through: {wrong}", f"slusen lukker igennem: {wrong}")
    if not all(device.exam.tried for device in mine):
        return unknown("the gate was not tried", "slusen er ikke prøvet")
    codes = ", ".join(sorted({code for device in mine for code in device.exam.allowed})) or "–"
    return passed(
        f"{sum(d.exam.tried for d in mine)} requests tried; functions let through: {codes}",
        f"{sum(d.exam.tried for d in mine)} forespørgsler prøvet; funktioner lukket igennem: {codes}",
    )


def can(facts: Facts) -> Finding:
    """Point 12."""
    mine = _of(facts, "can", "can_active")
    if not mine:
        return not_applicable("no CAN bus", "ingen CAN-bus")
    active = [device.name for device in mine if device.link == "can_active"]
    if active:
        return failed(f"may ask on the bus: {', '.join(active)}", f"må spørge på bussen: {', '.join(active)}")
    if facts.can_send:
        return failed("the link has a way to send", "linket kan sende")
    loud = [device.name for device in mine if device.listen_only is False]
    if loud:
        return failed(
            f"the controller is not listen-only: {', '.join(loud)}",
            f"controlleren er ikke listen-only: {', '.join(loud)}",
        )
    if facts.can_send is None or any(device.listen_only is None for device in mine):
        return unknown("the mode of the controller could not be read", "controllerens tilstand kunne ikke læses")
    return passed(
        "no call that sends in the link; controller listen-only", "intet sendekald i linket; controller i listen-only"
    )


def serial(facts: Facts) -> Finding:
    """Point 13."""
    mine = _of(facts, "serial", "udp", "tcp")
    if not mine:
        return not_applicable("no line that is written to", "ingen linje, der skrives til")
    if wrong := _wrong(mine):
        return failed(f"the gate lets through: {wrong}", f"slusen lukker igennem: {wrong}")
    unsigned = [device.name for device in mine if device.signature == ""]
    if unsigned:
        return failed(
            f"grammar in an unsigned profile: {', '.join(unsigned)}",
            f"grammatik i usigneret profil: {', '.join(unsigned)}",
        )
    if any(device.signature is None or not device.exam.tried for device in mine):
        return unknown("gate or signature could not be looked at", "sluse eller signatur kunne ikke undersøges")
    tried = sum(device.exam.tried for device in mine)
    return passed(
        f"{tried} byte strings tried at the gates, none let through that a profile does not name",
        f"{tried} bytestrenge prøvet, ingen lukket igennem, som en profil ikke nævner",
    )


def binding(facts: Facts) -> Finding:
    """Point 14."""
    loose = [device.name for device in facts.devices if device.stable is False]
    if loose:
        return failed(f"the path may change: {', '.join(loose)}", f"stien kan skifte: {', '.join(loose)}")
    other = [device.name for device in facts.devices if drifted(device)]
    if other:
        return failed(
            f"shows another firmware than declared: {', '.join(other)}",
            f"viser anden firmware end oplyst: {', '.join(other)}",
        )
    silent = [device.name for device in facts.devices if not device.observed_model and not device.observed_firmware]
    if silent:
        return unknown(
            f"not seen, or tells no model: {', '.join(silent)}",
            f"ikke set, eller oplyser ingen model: {', '.join(silent)}",
        )
    return passed("paths are stable; observed as declared", "stierne er stabile; observeret som oplyst")


def drifted(device: DeviceFact) -> bool:
    """Tell whether a device shows another firmware than was declared."""
    declared = device.firmware or device.record.get("firmware", "")
    return device.state == "drifted" or bool(
        declared and device.observed_firmware and declared != device.observed_firmware
    )


def only_approved(facts: Facts) -> Finding:
    """Point 15."""
    if any(device.may_open is None for device in facts.devices):
        return unknown("no standing of the devices", "enhedernes status er ukendt")
    wrong = [device.name for device in facts.devices if device.open and not device.may_open]
    free = [device.name for device in facts.devices if device.may_open and device.state not in ("approved", "active")]
    if wrong or (free and not facts.production):
        names = ", ".join(wrong or free)
        return failed(f"open without approval: {names}", f"åben uden godkendelse: {names}")
    held = [device.name for device in facts.devices if not device.may_open]
    return passed(
        f"{len(facts.devices) - len(held)} may be opened, {len(held)} held",
        f"{len(facts.devices) - len(held)} må åbnes, {len(held)} holdes tilbage",
    )


def bounded(facts: Facts) -> Finding:
    """Point 16: tests show it; here it is whether devices use drivers that were examined."""
    names = sorted({device.driver for device in facts.devices})
    return passed(f"drivers in use: {', '.join(names)}", f"drivere i brug: {', '.join(names)}")


def ranges(facts: Facts) -> Finding:
    """Point 17."""
    experimental = [device.name for device in facts.devices if device.experimental]
    if experimental and facts.production:
        return failed(
            f"experimental profile: {', '.join(experimental)}", f"eksperimentel profil: {', '.join(experimental)}"
        )
    count = sum(device.metrics for device in facts.devices)
    return passed(f"{count} metrics with code and unit", f"{count} målinger med kode og enhed")


CHECKS: Mapping[int, Check] = {11: modbus, 12: can, 13: serial, 14: binding, 15: only_approved, 16: bounded, 17: ranges}
