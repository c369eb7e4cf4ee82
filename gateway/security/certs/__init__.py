"""Who this box is: keys, requests, certificates and their expiry, and the configuration of the broker."""
