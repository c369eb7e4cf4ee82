"""What happened: a closed catalogue of events in a chain of hashes, with signed checkpoints."""
