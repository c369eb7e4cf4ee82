"""What lies on the disk: keys, authenticated encryption, erasure."""
