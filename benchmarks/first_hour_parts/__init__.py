"""The parts of the benchmark `first_hour`: its data sets and the peer."""
