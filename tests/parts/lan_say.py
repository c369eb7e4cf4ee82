"""Speaks as a user: python lan_say.py UID < targets as JSON, or python lan_say.py UID ADDRESS PORT OWN for one talk."""

import encodings.idna  # noqa: F401  # loaded while this is still root: the user may not be able to read it
import errno
import json
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

# The other end is on this machine. Over IPv6 a refused TCP connection is told with its second SYN, after 1 s.
PATIENCE_S = 2.0


def attempt(protocol, address, port, own=""):
    """Say a word and hear it back: "ok", "silent", or the name of the errno."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as one:
        one.settimeout(PATIENCE_S)
        try:
            if own:
                one.bind((own, 0))
            one.connect((address, port))
            one.sendall(b"word")
            return "ok" if one.recv(16) == b"word" else "other"
        except TimeoutError:
            return "silent"
        except OSError as fault:
            return errno.errorcode.get(fault.errno, str(fault))


def talk(address, port, own):
    """Hold one connection open; each line of the input is one word there and back."""
    with socket.create_connection((address, port), 5, (own, 0) if own else None) as one:
        one.settimeout(PATIENCE_S)
        for line in sys.stdin:
            try:
                one.sendall(line.encode())
                print("ok" if one.recv(64) else "ended", flush=True)
            except OSError:
                print("dead", flush=True)


uid = int(sys.argv[1])
if uid:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
if len(sys.argv) > 2:
    talk(sys.argv[2], int(sys.argv[3]), sys.argv[4])
else:
    with ThreadPoolExecutor(64) as pool:
        print(json.dumps(list(pool.map(lambda target: attempt(*target), json.load(sys.stdin)))))
