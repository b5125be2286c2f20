"""What the documents show works as it stands: configurations parse, flags exist, links lead somewhere."""

import dataclasses
import re
import shlex
from pathlib import Path

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


def without_code(page: Path) -> str:
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "`code`", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def test_links_lead_somewhere(repository):
    for page in documents(repository):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", without_code(page)):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_anchors_lead_somewhere(repository):
    for page in documents(repository):
        for name, anchor in re.findall(r"\]\(([^)#:]*\.md)?#([^)]+)\)", without_code(page)):
            other = page.parent / name if name else page
            assert anchor in anchors(other), f"{page.name}: {other.name} has no heading for #{anchor}"


def test_the_tests_that_are_named_exist(repository):
    text = (repository / "docs" / "model-server.md").read_text()
    named = set(re.findall(r"[\w/]*test_\w+\.py", text))
    assert len(named) > 20
    for name in named:
        place = "tests" if "/" in name else "tests/serving/protocol"
        assert (repository / place / name).exists(), f"docs/model-server.md names {name}"
