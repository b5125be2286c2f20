"""Configuration files with anything in them: refused with a message, or put in force; never a crash. §7.1 to §7.3."""

import string
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from labkit.serving.embedded import config, config_protos
from labkit.serving.embedded.status import Code, StatusError
from soak.models import Numbered

from ..fuzz.profile import fuzzed
from ..served import Command, Served, until

KINDS = (ModelServerConfig, "MonitoringConfig", "SSLConfig", "BatchingParameters")
WORDS = (
    *("model_config_list", "config", "name", "base_path", "model_platform", "model_version_policy", "latest", "all"),
    *("specific", "versions", "num_versions", "version_labels", "key", "value", "custom_model_config", "model_type"),
    *("prometheus_config", "enable", "path", "server_key", "client_verify", "max_batch_size", "allowed_batch_sizes"),
    *("{", "}", "[", "]", "<", ">", ":", ",", ";", "#", "\n", '"', "'", '"m"', '"/m"', '"tensorflow"', "TENSORFLOW"),
    *(
        "0",
        "1",
        "-1",
        "9223372036854775807",
        "9223372036854775808",
        "1e400",
        "nan",
        "true",
        "false",
        "0x7f",
        "\\",
        "\x00",
    ),
)
TEXT = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join),
    st.text(st.characters(), max_size=80),
    st.text(string.printable, max_size=80),
)
NUMBERS = st.integers(-(1 << 63), (1 << 63) - 1)
PLACES = st.one_of(
    st.sampled_from(["", "/", "/m", "m", "//", "gs://b/m", "file:///m", "/m\x00", "/" + "n" * 5000]),
    st.text(max_size=20),
)


@st.composite
def model_configs(draw: st.DrawFn) -> ModelServerConfig:
    """Messages of the right form, with anything in their fields."""
    message = ModelServerConfig()
    for _ in range(draw(st.integers(0, 3))):
        entry = message.model_config_list.config.add(
            name=draw(st.one_of(st.sampled_from(["a", "b", ""]), st.text(max_size=10))),
            base_path=draw(PLACES),
            model_platform=draw(st.sampled_from(["tensorflow", "tensorflow", "", "other"])),
            version_labels=draw(st.dictionaries(st.text(max_size=5), NUMBERS, max_size=2)),
        )
        entry.model_type = draw(st.integers(-1, 3))
        policy = draw(st.sampled_from(["", "all", "latest", "specific"]))
        if policy == "all":
            entry.model_version_policy.all.SetInParent()
        elif policy == "latest":
            entry.model_version_policy.latest.num_versions = draw(st.integers(0, (1 << 32) - 1))
        elif policy == "specific":
            entry.model_version_policy.specific.versions.extend(draw(st.lists(NUMBERS, max_size=3)))
    return message


def assert_is_clear(error: StatusError, start: str = "") -> None:
    assert error.code in (Code.INVALID_ARGUMENT, Code.UNIMPLEMENTED, Code.NOT_FOUND)
    assert error.message.startswith(start)
    assert len(error.message) > 20


@pytest.mark.parametrize("kind", KINDS, ids=str)
@fuzzed
@given(text=TEXT)
def test_texts(kind: str | type, text: str) -> None:
    """§7.1: whatever stands in the file, it is a message or INVALID_ARGUMENT with the file's name."""
    try:
        message = config_protos.parse(kind, text, "the.config")
    except StatusError as error:
        assert_is_clear(error, "Invalid protobuf file: 'the.config': Error parsing text-format tensorflow.serving")
    else:
        if isinstance(kind, type):
            with suppress(StatusError):
                config.from_proto(message.model_config_list.config)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@fuzzed
@given(content=st.binary(max_size=100))
def test_bytes(kind: str | type, content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A file need not be text."""
    path = tmp_path_factory.getbasetemp() / "bytes.config"
    path.write_bytes(content)
    try:
        config_protos.read(kind, path)
    except StatusError as error:
        assert_is_clear(error)


@fuzzed
@given(message=model_configs())
def test_messages(message: ModelServerConfig) -> None:
    """§1.6, §7.2: an entry is refused, or becomes a model that can be looked for."""
    try:
        found = config.from_proto(message.model_config_list.config)
    except StatusError as error:
        assert_is_clear(error)
        return
    for one in found:
        assert one.name
        assert one.base_path.is_absolute()
        with pytest.raises(StatusError) as refused:
            config.check_folder(one)
        assert_is_clear(refused.value)


GARBAGE: dict[str, bytes] = {
    "nothing at all": b"",
    "no text": bytes(range(256)),
    "half a file": b'model_config_list { config { name: "model" base_path: "/',
    "another message": b"max_batch_size { value: 128 }",
    "a model without a path": b'model_config_list { config { name: "model" model_platform: "tensorflow" } }',
    "a platform that is none": b'model_config_list { config { name: "b" base_path: "/b" model_platform: "onnx" } }',
    "a zero in a path": b'model_config_list { config { name: "b" base_path: "/\\000" model_platform: "tensorflow" } }',
    "a million brackets": b"{" * 1_000_000,
    "nesting without end": b"model_config_list { config { " * 100_000,
    "a label on nothing": b'model_config_list { config { name: "model" base_path: "/b" '
    b'model_platform: "tensorflow" version_labels { key: "stable" value: 7 } } }',
}


def test_a_polled_file_that_goes_bad(serve, base: Path, numbered: Numbered, tmp_path: Path) -> None:
    """§7.3: the server says why the file is not put in force, and keeps what it had; a good one counts again."""
    file = tmp_path / "models.config"
    good = f'model_config_list {{ config {{ name: "model" base_path: "{base}" model_platform: "tensorflow" }} }}'
    file.write_text(good)
    numbered.add(base, 1)
    server: Served = serve("model", "", f"--model_config_file={file}", "--model_config_file_poll_wait_seconds=1")
    aside = tmp_path / "aside"
    for title in ("nothing at all", "half a file", "a zero in a path", "nesting without end", "a label on nothing"):
        before = server.stderr.count("is not put in force: ")
        aside.write_bytes(GARBAGE[title])
        aside.rename(file)
        until(lambda: server.stderr.count("is not put in force: ") > before, title)  # noqa: B023
        assert server.predict({"instances": [[1.0]]}).json["predictions"][0]["v"] == [1.0], title
    assert "Traceback" not in server.stderr
    aside.write_text(good.replace('name: "model"', 'name: "renamed"'))
    aside.rename(file)
    until(lambda: server.ask("GET", "/v1/models/renamed").status == 200, "the good file is put in force")


@pytest.mark.parametrize("title", [title for title in GARBAGE if title != "nothing at all"])
def test_a_start_with_a_bad_file_ends(tmp_path: Path, title: str) -> None:
    """§7.1, §7.2: with 255 and a reason; an empty file is a server without models (§7.3)."""
    file = tmp_path / "models.config"
    file.write_bytes(GARBAGE[title])
    with Command(tmp_path, "--port=auto", f"--model_config_file={file}") as command:
        assert command.exit_status() == 255
    assert command.stdout.startswith("Failed to start server. Error: ")
    assert "Traceback" not in command.output
