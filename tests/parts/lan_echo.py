"""Listens on ports, TCP and UDP, IPv4 and IPv6, and echoes: python lan_echo.py UID PORT…; says "ready"."""

import contextlib
import os
import selectors
import socket
import sys

uid, *ports = map(int, sys.argv[1:])
chosen = selectors.DefaultSelector()
for port in ports:
    for family, anywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            one = socket.socket(family, kind)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if kind == socket.SOCK_DGRAM and family == socket.AF_INET:
                one.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO: answer from the address that was asked
            elif kind == socket.SOCK_DGRAM:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            one.bind((anywhere, port))
            if kind == socket.SOCK_STREAM:
                one.listen(64)
            chosen.register(one, selectors.EVENT_READ, "listens" if kind == socket.SOCK_STREAM else "datagrams")
if uid:
    os.setuid(uid)
print("ready", flush=True)
while True:
    for key, _ in chosen.select():
        one = key.fileobj
        if key.data == "listens":
            chosen.register(one.accept()[0], selectors.EVENT_READ, "stream")
        elif key.data == "datagrams":
            data, info, _, whom = one.recvmsg(2048, 256)
            level, kind, value = info[0]
            # struct in_pktinfo: interface, local address, destination; sent from the destination
            back = value[:4] + value[8:12] + bytes(4) if level == socket.IPPROTO_IP else value
            with contextlib.suppress(OSError):  # the firewall does not let the answer out
                one.sendmsg([data], [(level, kind, back)], 0, whom)
        else:
            try:
                data = one.recv(2048)
                if data:
                    one.sendall(data)
                    continue
            except OSError as fault:
                print(fault, file=sys.stderr)
            chosen.unregister(one)
            one.close()
