"""Workers in two groups, each with a server, that take steps in a fixed order. Run by the tests."""

import json
import os
from pathlib import Path

import numpy as np

from labkit.errors import ClusterError
from labkit.parallel import ParameterServers
from labkit.parallel.tf_config import read_tf_config
from labkit.parallel.two_levels import enter, pass_on
from labkit.waiting import wait_until

FIRST = {"a": np.ones([2, 3], np.float32), "b": np.zeros([], np.float32)}

_, task, index = read_tf_config()
saw = {"refused": []}
config = os.environ["TF_CONFIG"]
for groups, also in ((4, {}), (2, {"chief": ["127.0.0.1:1"]})):
    changed = json.loads(config)
    changed["cluster"] |= also
    os.environ["TF_CONFIG"] = json.dumps(changed)
    try:
        enter(groups)
    except ClusterError as error:
        saw["refused"].append(str(error))
os.environ["TF_CONFIG"] = config
root = enter(groups=2)
if task == "ps":
    pass_on(FIRST, root, learning_rate=0.5, timeout=30)
cluster, _, saw["index"] = read_tf_config()
saw["cluster"] = {each: len(addresses) for each, addresses in cluster.items()}
servers = ParameterServers(FIRST, timeout=30)
if index >= 2:  # the second group, after the first one's step
    wait_until(lambda: all(Path(f"worker-{each}.json").exists() for each in (0, 1)))
version, values = servers.pull()
saw["before"] = {name: np.unique(value).tolist() for name, value in values.items()}
servers.contribute({name: np.full_like(value, 1 + 2 * index) for name, value in values.items()}, version)
servers.wait(version + 1)
version, values = servers.pull()
saw["after"] = {"version": version, **{name: np.unique(value).tolist() for name, value in values.items()}}
Path(f"writing-{index}").write_text(json.dumps(saw))
Path(f"writing-{index}").rename(f"worker-{index}.json")
