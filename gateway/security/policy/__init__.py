"""The configuration against the rules: what may be opened, where data may go, with which protection, what may leave."""
