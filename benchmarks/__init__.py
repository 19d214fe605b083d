"""Side-by-side timings: each script runs the peer and this project in turn and prints the ratio."""
