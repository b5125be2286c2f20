"""What is under stress for long: the model server under load, clusters whose tasks are killed: `make soak`.

The tests in `tests/serving/faults` and `tests/cluster/test_faults.py` play the same scenes.
"""
