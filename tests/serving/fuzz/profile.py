"""How far the fuzzing looks."""

import os

from hypothesis import HealthCheck, Phase, settings

# The same examples in every run, so that a failure on one machine is a failure on all; LABKIT_FUZZ=1000 looks further.
EXAMPLES = int(os.environ.get("LABKIT_FUZZ", "0"))
fuzzed = settings(
    max_examples=EXAMPLES or 150,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
