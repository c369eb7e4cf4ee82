"""The bill of materials, CycloneDX 1.6 as JSON (ECMA-424). Pure: the same components and the same day, the same bytes.

Written by hand: the bedside box tells what it is made of without software for that. A test validates it with the
schema of the standard.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.security.inventory.software import OURS, UNKNOWN, Component, normal

SPEC = "1.6"
_TYPES = {"operating system": "operating-system", "kernel": "operating-system", "runtime": "platform"}
_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # NAMESPACE_URL, RFC 9562, 6.6


def cyclonedx(components: Sequence[Component], needed: Mapping[str, Iterable[str]], subject: str, made_at: str) -> str:
    """Return the document.

    needed: normal names of the distributions that the gateway asks for -> extras, gives the dependency graph;
    subject: what it is of ("gateway", or the name of a box); made_at: UTC, RFC 3339. The serial number follows from the
    contents, so that two equal documents are one.
    """
    ordered = sorted(components)
    ours = next((c for c in ordered if normal(c.name) == OURS), Component("python", OURS, UNKNOWN))
    rest = [c for c in ordered if c is not ours]
    direct = sorted(c.purl for c in rest if c.kind == "python" and normal(c.name) in needed)
    digest = hashlib.sha256(repr((subject, ordered)).encode()).hexdigest()
    document = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, digest)}",
        "version": 1,
        "metadata": {
            "timestamp": made_at,
            "component": _component(ours, "application"),
            "properties": [{"name": "mdi:subject", "value": subject}],
        },
        "components": [_component(c, _TYPES.get(c.kind, "library")) for c in rest],
        "dependencies": [{"ref": ours.purl, "dependsOn": direct}],
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _component(component: Component, kind: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": kind,
        "bom-ref": component.purl,
        "name": component.name,
        "version": component.version,
        "purl": component.purl,
    }
    if component.maker:
        made["supplier"] = {"name": component.maker}
    if component.licence:  # an expression would have to be valid SPDX; a name may be as the metadata has it
        made["licenses"] = [{"license": {"name": component.licence}}]
    said = (("mdi:record_sha256", component.sha256), ("mdi:support_end", component.support_end))
    if properties := [{"name": name, "value": value} for name, value in said if value]:
        made["properties"] = properties
    return made
