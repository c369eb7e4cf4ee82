"""Benches: each measures ours beside the obvious alternative, in the same run, and prints the ratio."""
