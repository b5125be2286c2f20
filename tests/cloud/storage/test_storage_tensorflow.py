"""Storage, as TensorFlow's own ``gs://`` finds it: through the proxy, as nothing else leads it there."""

import json
import os
import subprocess
import sys

import pytest

from labkit.cloud.local.accounts import Hosts
from labkit.cloud.local.authority import Authority
from labkit.cloud.local.objects import Objects
from labkit.cloud.local.proxy import Proxy
from labkit.cloud.local.storage import Storage

PROGRAM = """
import json, os
import tensorflow as tf
files, base = tf.io.gfile, "gs://lab/t"
found = {}
content = bytes(range(256)) * 12_000
with files.GFile(base + "/big", "wb") as file:
    file.write(content)
with files.GFile(base + "/empty", "wb") as file:
    file.write(b"")
found["written is read"] = files.GFile(base + "/big", "rb").read() == content
found["empty"] = files.GFile(base + "/empty", "rb").read() == b""
files.copy(base + "/big", base + "/copy")
files.rename(base + "/copy", base + "/renamed")
files.makedirs(base + "/folder/below")
found["stat"] = files.stat(base + "/renamed").length
found["there"] = [files.exists(base + "/renamed"), files.exists(base + "/copy"), files.isdir(base + "/folder")]
found["list"] = sorted(files.listdir(base))
with tf.io.TFRecordWriter(base + "/data.tfrecord") as writer:
    for number in range(1000):
        writer.write(b"%d" % number)
found["records"] = sum(1 for _ in tf.data.TFRecordDataset(base + "/data.tfrecord"))
variable = tf.Variable(3.0)
checkpoint = tf.train.Checkpoint(variable=variable)
checkpoint.save(base + "/checkpoints/c")
variable.assign(5.0)
checkpoint.restore(tf.train.latest_checkpoint(base + "/checkpoints"))
found["restored"] = float(variable)
model = tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(2)])
model.save(base + "/m.keras")
found["keras"] = tf.keras.models.load_model(base + "/m.keras").count_params()
model.export(base + "/export/1", verbose=False)
served = tf.saved_model.load(base + "/export/1")
found["served"] = list(served.serve(tf.zeros((4, 3))).shape)
files.rmtree(base)
print("FOUND", json.dumps(found))
"""


@pytest.mark.timeout(300)
def test_files_checkpoints_models_and_records(tmp_path):
    storage, authority = Storage(), Authority(tmp_path / "cloud")
    objects = Objects(storage)
    objects.create_bucket("lab")
    hosts = Hosts("lab-project", "123456789012")
    hosts.add("storage.googleapis.com", storage.answer)
    with Proxy(authority, hosts) as proxy:
        environment = {**os.environ, **authority.environment(proxy.port, "lab-project")}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=280, check=False
        )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.partition("FOUND ")[2]) == {
        "written is read": True,
        "empty": True,
        "stat": 3_072_000,
        "there": [True, False, True],
        "list": ["big", "empty", "folder/", "renamed"],
        "records": 1000,
        "restored": 3.0,
        "keras": 8,
        "served": [4, 2],
    }
    assert objects.below("gs://lab") == []
