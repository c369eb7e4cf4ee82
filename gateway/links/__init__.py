"""Links: bytes from outside with the time they arrived, and nothing else. One module for each I/O library."""
