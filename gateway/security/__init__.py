"""The rules of the network, and their proof: what may be opened, where data may go, who said so, and how it is known.

policy     the configuration against zones and conduits: a list of violations, or none
trust      signatures of people: minisign format, approvers, revisions that never go back
onboard    devices from draft to retired, approved by two people over one hash; what may be opened follows from it
seal       what lies on the disk: keys, authenticated encryption, erasure
audit      what happened: a closed catalogue of events in a chain of hashes, with signed checkpoints
certs      who this box is: keys, requests, certificates, their expiry, and the broker's configuration
netrules   the firewall from the same source, declared against enforced against observed
access     who may do what on the box: a unix socket with roles
inventory  what this is made of: software, hashes, known vulnerabilities
dossier    all of it as one file that a reviewer reads, with the 56 points
"""
