"""How many replicas a deployed model wants, by Vertex AI's rule: as many as bring each measure down to its target.

Vertex AI looks every 15 seconds, takes the highest need of the last 5 minutes, and starts machines that take minutes.
Here minutes are seconds: a look every half second, means over 2 seconds, and fewer replicas after 5 seconds that need
fewer.
"""

import math
from collections import deque
from dataclasses import dataclass

LOOK_SECONDS = 0.5
MEAN_SECONDS = 2.0
DOWN_SECONDS = 5.0


@dataclass(frozen=True)
class Targets:
    """What a replica should be kept at.

    Attributes:
        cpu: percent of its cores that are busy; None if that does not matter.
        requests_per_minute: requests it gets; None if they do not matter.
    """

    cpu: int | None = 60
    requests_per_minute: int | None = None


@dataclass(frozen=True)
class Load:
    """What all replicas did together between two looks.

    Attributes:
        time: when it was looked, in seconds of any clock that does not go back.
        seconds: how long the time between the looks was.
        machines: so many replicas' cores were busy: three replicas that are half busy make 1.5.
        requests: so many requests came.
    """

    time: float
    seconds: float
    machines: float
    requests: int


def needed(loads: list[Load], targets: Targets) -> int:
    """The replicas that bring these loads' mean down to the targets.

    It is Kubernetes' rule, ``ceil(current · utilization / target)``: current times utilization is `Load.machines`. A
    mean is over `MEAN_SECONDS` at least, so a first moment alone starts nothing.
    """
    seconds = max(MEAN_SECONDS, sum(load.seconds for load in loads))
    machines = sum(load.machines * load.seconds for load in loads) / seconds
    wanted = [0.0]
    if targets.cpu is not None:
        wanted.append(machines / (targets.cpu / 100))
    if targets.requests_per_minute is not None:
        wanted.append(sum(load.requests for load in loads) * 60 / seconds / targets.requests_per_minute)
    return max(math.ceil(round(replicas, 6)) for replicas in wanted)


class Autoscaler:
    """Decides after each look how many replicas there should be: more at once, fewer only after a while."""

    def __init__(self, minimum: int, maximum: int, targets: Targets) -> None:
        """Between `minimum` and `maximum` replicas, by `targets`; all three may be set anew at any time."""
        self.minimum = minimum
        self.maximum = maximum
        self.targets = targets
        self._loads: deque[Load] = deque()
        self._needs: deque[tuple[float, int]] = deque()

    def decide(self, load: Load) -> int:
        """The number of replicas that is wanted from now on."""
        self._loads.append(load)
        while load.time - self._loads[0].time >= MEAN_SECONDS:
            self._loads.popleft()
        self._needs.append((load.time, needed(list(self._loads), self.targets)))
        while load.time - self._needs[0][0] > DOWN_SECONDS:
            self._needs.popleft()
        return min(self.maximum, max(self.minimum, *(need for _, need in self._needs)))
