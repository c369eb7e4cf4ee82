"""One script for each threat of docs/security.md: the attack, and the refusal that is expected."""
