"""Who may do what on this box, from the box itself. Nothing here listens on a network of its own accord.

roles    viewer, operator, approver, administrator: from the uid and groups that the kernel tells of the other end
gate     rate limit, lock-out, session and idle time; pure, time is an argument
verbs    what can be asked, each with the least role that may
server   `mdi admin serve`: one line of JSON in, one out, over a unix socket
client   the other end
glass    break-glass: root grants an account of this box a role for minutes, without any network
web      read-only pages
"""
