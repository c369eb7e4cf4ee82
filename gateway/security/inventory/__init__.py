"""What this is made of: software with versions and hashes, known vulnerabilities and what was decided on them."""
