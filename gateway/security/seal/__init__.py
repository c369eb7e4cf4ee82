"""What lies on the disk: the key, authenticated encryption, what protects the key, erasure."""

from gateway.security.seal.box import OVERHEAD, Box, Mac, Mark, Seal, needed, parse_mark
from gateway.security.seal.keys import CREDENTIAL, HINT, OLD_CREDENTIAL, key_file, read_keys
from gateway.security.seal.protection import Protection, protection

__all__ = [
    "CREDENTIAL",
    "HINT",
    "OLD_CREDENTIAL",
    "OVERHEAD",
    "Box",
    "Mac",
    "Mark",
    "Protection",
    "Seal",
    "key_file",
    "needed",
    "parse_mark",
    "protection",
    "read_keys",
]
