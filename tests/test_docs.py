"""What the documents show works as it stands: configurations parse, flags exist, links lead somewhere."""

import dataclasses
import re
import shlex
from pathlib import Path

import pytest
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from labkit.serving.embedded import batching, config, config_protos, flags

CLASSES = {"ModelServerConfig": ModelServerConfig}


def documents(repository: Path) -> list[Path]:
    return [*repository.glob("*.md"), *repository.glob("docs/*.md")]


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), flags=re.DOTALL | re.MULTILINE)


def test_configurations_are_read_as_the_server_reads_them(repository, tmp_path):
    found = blocks(repository / "docs" / "model-server.md", "textproto")
    kinds = {re.match(r"# (\w+)\n", text)[1]: text for text in found}
    assert kinds.keys() == {"ModelServerConfig", "BatchingParameters", "MonitoringConfig", "SSLConfig"}
    for kind, text in kinds.items():
        assert config_protos.parse(CLASSES.get(kind, kind), text, "docs").ListFields()
    penguins, _ = config.from_proto(
        config_protos.parse(ModelServerConfig, kinds["ModelServerConfig"], "docs").model_config_list.config
    )
    assert penguins.labels == {"canary": 2, "stable": 1}
    (tmp_path / "batching").write_text(kinds["BatchingParameters"])
    assert batching.read_parameters(tmp_path / "batching").max_batch_size == 16


def test_the_flags_of_every_serve_command_exist(repository):
    commands = [
        line
        for path in documents(repository)
        for block in blocks(path, "bash")
        for line in block.replace("\\\n", " ").splitlines()
        if "labkit serve" in line or "docker run" in line
    ]
    assert len(commands) > 2
    for command in commands:
        words = shlex.split(command, comments=True)
        if "docker" in words:  # flags stand behind the image's name
            words = words[words.index("labkit-model-server") :]
        words = [word for word in words if word.startswith("--")]
        flags.parse([word for word in words if word != "--help"])


def test_flags_that_are_named_exist(repository):
    text = (repository / "docs" / "model-server.md").read_text()
    named = set(re.findall(r"`--(\w+)", text))
    assert named <= {field.name for field in dataclasses.fields(flags.Flags)} | flags._REFUSED.keys()


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "CONTRIBUTING.md",
        "docs/model-server.md",
        "docs/design.md",
        "docs/benchmarks.md",
        "docs/measuring.md",
    ],
)
def test_links_lead_somewhere(repository, name):
    page = repository / name
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{name} links to {target}"


def test_anchors_lead_somewhere(repository):
    for page in documents(repository):
        text = page.read_text()
        headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        for anchor in re.findall(r"\]\(#([^)]+)\)", text):
            assert anchor in anchors, f"{page.name} has no heading for #{anchor}"


def test_the_tests_that_are_named_exist(repository):
    text = (repository / "docs" / "model-server.md").read_text()
    named = set(re.findall(r"[\w/]*test_\w+\.py", text))
    assert len(named) > 20
    for name in named:
        place = "tests" if "/" in name else "tests/serving/protocol"
        assert (repository / place / name).exists(), f"docs/model-server.md names {name}"
