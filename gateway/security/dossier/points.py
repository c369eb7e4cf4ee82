"""Point → the function that answers it."""

from __future__ import annotations

from gateway.security.dossier import points_device, points_identity, points_network, points_running, points_software
from gateway.security.dossier.checklist import Check

CHECKS: dict[int, Check] = {
    **points_identity.CHECKS,
    **points_device.CHECKS,
    **points_software.CHECKS,
    **points_network.CHECKS,
    **points_running.CHECKS,
}
