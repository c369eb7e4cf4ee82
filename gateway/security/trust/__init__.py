"""Signatures of people: minisign format, approvers, revisions that never go back."""
