"""What happened: a closed catalogue of events in a chain of hashes, with signed checkpoints that leave the box."""

from gateway.security.audit.entry import Checkpoint
from gateway.security.audit.events import CATALOGUE, Event
from gateway.security.audit.log import Audit, AuditLog, Clocks, silent

__all__ = ["CATALOGUE", "Audit", "AuditLog", "Checkpoint", "Clocks", "Event", "silent"]
