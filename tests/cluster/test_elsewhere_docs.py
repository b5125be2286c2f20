"""docs/cluster-elsewhere.md: what it shows can be run as it stands."""

import re
import subprocess
import sys

import yaml


def test_the_examples_write_what_they_say(repository, tmp_path, monkeypatch):
    text = (repository / "docs" / "cluster-elsewhere.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    blocks = [
        re.split(r"^job = ", block, flags=re.MULTILINE)[0] for block in blocks
    ]  # a job of Vertex AI is not run here
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("print('trained')\n")
    names = {}
    exec("\n".join(blocks), names)
    manifests = yaml.safe_load_all((tmp_path / "penguins.yaml").read_text())
    assert [each["kind"] for each in manifests] == ["ConfigMap", "JobSet"]
    assert [pool.get("replica_count", 0) for pool in names["pools"]] == [1, 3, 0, 1]
    assert (tmp_path / "train.sbatch").read_text().startswith("#!/bin/bash\n")
    compile((tmp_path / "train_on_ray.py").read_text(), "train_on_ray.py", "exec")


def test_importing_it_imports_neither_tensorflow_nor_an_engine():
    heavy = {"tensorflow", "ray", "yaml", "google.cloud.aiplatform"}
    code = f"import sys, labkit.cluster.elsewhere; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
