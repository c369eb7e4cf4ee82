"""All of it as one file that a reviewer reads: inventory, flows, ports, proof, the 56 points."""
