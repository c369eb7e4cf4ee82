"""Devices from draft to retired: records, approvals by two people over one hash, drift, and what may be opened."""
