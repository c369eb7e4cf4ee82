"""The firewall from the same source as everything else: declared, enforced, observed."""
