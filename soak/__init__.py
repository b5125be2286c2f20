"""The model server under load and over time: `make soak`. The tests in `tests/serving/faults` play the same scenes."""
