"""Signatures of people and of releases: who signed what, until when, and whether that counts here.

minisign  the signature format: ed25519 over BLAKE2b-512, a trusted comment under a second signature
claims    what a trusted comment says: purpose, file, revision, end, and the digests of the files beside it
people    who may sign, in which role, from when to when; signed itself by the root keys
revisions the highest revision seen of each file: what was replaced never comes back
signed    a file with its signatures, judged against all of the above
folder    a folder of profiles, each with its signature or under one signed manifest

Keys of people never lie on the gateway; it only verifies.
"""

REASONS = (
    "unsigned",  # there is no signature
    "malformed",  # what should be a signature, key or list is none
    "changed",  # the signature is intact, the file is not what was signed
    "signature_changed",
    "comment_changed",
    "unknown_signer",
    "revoked",
    "not_yet_valid",
    "signer_expired",  # the person's time is over
    "wrong_role",
    "too_few",  # fewer people, or fewer roles, than needed
    "wrong_file",  # a signature for another file or another purpose
    "expired",  # the signature's own end has passed
    "rolled_back",  # a lower revision than was seen before
)
TAMPER = frozenset({"changed", "signature_changed", "comment_changed", "wrong_file", "rolled_back"})  # exit code 3
