"""The firewall from the same source: what is allowed becomes nftables, and is compared with what is there.

ways       configuration + conduits + standings -> who may reach what (pure)
declared   ways -> the table, and its text (pure)
table      a table as data, to and from nft (pure)
sockets    /proc/net -> sockets, and those that nobody allowed (pure)
drift      declared against enforced against observed (pure)
system     nft, names, users, /proc: the edge
"""
