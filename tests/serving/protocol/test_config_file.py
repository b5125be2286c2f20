"""Several models, from a configuration file that is read once or again and again: §7."""

import shutil
from pathlib import Path

import pytest

from ..grpc_calls import calls, outcome, request
from ..served import Command, Served, until

GOOD = {"instances": [2.0]}  # x / 2 + N answers 1 + N


def entry(name: str, base: Path | str, rest: str = "", platform: str = 'model_platform: "tensorflow"') -> str:
    return f'config {{ name: "{name}" base_path: "{base}" {platform} {rest} }}\n'


def configuration(*entries: str) -> str:
    return "model_config_list {\n" + "".join(entries) + "}\n"


def answer(server: Served, name: str, place: str = "") -> float | int:
    """What a model answers to 2, or the HTTP status if it does not."""
    found = server.ask("POST", f"/v1/models/{name}{place}:predict", GOOD)
    return found.json["predictions"][0] if found.status == 200 else found.status


def states(server: Served, name: str) -> dict[int, str]:
    found = server.ask("GET", f"/v1/models/{name}")
    return {int(v["version"]): v["state"] for v in found.json.get("model_version_status", [])}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "models.config"


@pytest.fixture
def configured(tmp_path_factory, serve, file: Path):
    """`configured(text, *flags)`: a running server whose models the file names; flags that name one are ignored."""

    def start(text: str, *flags: str) -> Served:
        file.write_text(text)
        return serve("ignored", "/not/there", f"--model_config_file={file}", *flags)

    return start


def refused(folder: Path, *flags: str) -> tuple[str, str]:
    """The line with which the command refuses to start, and what it wrote to stderr."""
    with Command(folder, "--port=auto", *flags) as command:
        assert command.exit_status() == 255
        return command.stdout.split("Failed to start server. Error: ")[1], command.stderr


def refusal(folder: Path, *flags: str) -> str:
    """The line with which the command refuses to start."""
    return refused(folder, *flags)[0]


@pytest.fixture
def bases(saved_models, tmp_path: Path) -> dict[str, Path]:
    """Two models, each with versions 1 (+ 2), 2 (+ 3) and 3 (+ 4)."""
    for name in ("first", "second"):
        for number, plus in (("1", 2), ("2", 3), ("3", 4)):
            saved_models.add_version(tmp_path / name, number, plus)
    return {name: tmp_path / name for name in ("first", "second")}


def test_many_models_and_their_version_policies(configured, bases) -> None:
    """§6.3, §7.1: latest, all, specific; model_type instead of model_platform."""
    text = configuration(
        entry("plain", bases["first"]),
        entry("two", bases["first"], "model_version_policy { latest { num_versions: 2 } }"),
        entry("zero", bases["first"], "model_version_policy { latest { num_versions: 0 } }"),
        entry("every", bases["second"], "model_version_policy { all {} }"),
        entry("some", bases["second"], "model_version_policy { specific { versions: 1 versions: 3 versions: 9 } }"),
        entry("old", bases["second"], platform="model_type: TENSORFLOW"),
    )
    server = configured(text)
    found = {name: set(states(server, name)) for name in ("plain", "two", "zero", "every", "some", "old")}
    assert found == {"plain": {3}, "two": {2, 3}, "zero": {3}, "every": {1, 2, 3}, "some": {1, 3}, "old": {3}}
    assert (answer(server, "some"), answer(server, "some", "/versions/1")) == (5.0, 3.0)
    assert (answer(server, "every", "/versions/2"), answer(server, "some", "/versions/2")) == (4.0, 404)
    until(lambda: "no version [9]" in server.stderr, "the missing version is named in the log")
    assert server.ask("GET", "/v1/models/ignored").status == 404


def test_a_listed_version_is_picked_up_when_it_appears(configured, saved_models, tmp_path: Path) -> None:
    """§6.3."""
    saved_models.add_version(tmp_path / "model", "1", 2)
    text = configuration(
        entry("model", tmp_path / "model", "model_version_policy { specific { versions: 1 versions: 7 } }")
    )
    server = configured(text)
    saved_models.add_version(tmp_path / "model", "8", 3)
    saved_models.add_version(tmp_path / "model", "7", 4)
    until(lambda: states(server, "model") == {7: "AVAILABLE", 1: "AVAILABLE"}, "version 7 is served, 8 is not")


def test_the_file_is_read_again(configured, bases, file: Path) -> None:
    """§7.3: models come and go, policies change, a bad file changes nothing, an empty list ends all."""
    server = configured(configuration(entry("first", bases["first"])), "--model_config_file_poll_wait_seconds=1")
    file.write_text(
        configuration(
            entry("first", bases["first"], "model_version_policy { specific { versions: 1 } }"),
            entry("second", bases["second"]),
        )
    )
    until(lambda: states(server, "second") == {3: "AVAILABLE"}, "the second model is there")
    until(lambda: states(server, "first") == {3: "END", 1: "AVAILABLE"}, "the first one went back to version 1")
    file.write_text("model_config_list { config { name: ")
    until(lambda: "is not put in force" in server.stderr, "the log complains")
    assert "1:36" in server.stderr, "the place in the file"
    assert (answer(server, "first"), answer(server, "second")) == (3.0, 5.0)
    file.write_text("")
    until(lambda: "Cannot transition to requested config." in server.stderr, "a file without a list is refused")
    assert (answer(server, "first"), answer(server, "second")) == (3.0, 5.0)
    file.write_text(configuration(entry("second", bases["second"])))
    until(lambda: states(server, "first") == {3: "END", 1: "END"}, "the first model has left; its status stays")
    assert answer(server, "first") == 404
    file.write_text("model_config_list {}")
    until(lambda: states(server, "second") == {3: "END"}, "all models have left")


def test_a_base_path_may_change(configured, bases, saved_models, tmp_path: Path, file: Path) -> None:
    """§7.4: a version of the same number is not loaded again."""
    saved_models.add_version(tmp_path / "other", "3", 2)
    server = configured(configuration(entry("m", bases["first"])), "--model_config_file_poll_wait_seconds=1")
    file.write_text(configuration(entry("m", tmp_path / "other")))
    saved_models.add_version(tmp_path / "other", "4", 3)
    until(lambda: states(server, "m") == {4: "AVAILABLE", 3: "END"}, "version 4 of the other folder")
    assert answer(server, "m") == 4.0


def test_one_bad_base_path_does_not_stop_the_others(configured, bases, saved_models, file: Path) -> None:
    """§6.8 [deviation §13]: upstream's discovery stops for all models."""
    server = configured(configuration(*(entry(name, base) for name, base in bases.items())))
    shutil.rmtree(bases["first"])
    until(lambda: f"Could not find base path {bases['first']}" in server.stderr, "the log names the missing folder")
    saved_models.add_version(bases["second"], "4", 2)
    until(lambda: states(server, "second") == {4: "AVAILABLE", 3: "END"}, "the second model goes on")
    assert answer(server, "first") == 5.0


BAD = {
    "twice": (
        [("m", {}), ("m", {})],
        "INVALID_ARGUMENT: Illegal to list model m multiple times in config list",
    ),
    "no platform": (
        [("m", {"platform": ""})],
        "INVALID_ARGUMENT: Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
        "ModelServerConfig::model_platform, model name is m",
    ),
    "other platform": (
        [("m", {"platform": 'model_platform: "pytorch"'})],
        "INVALID_ARGUMENT: Model m requests unsupported platform pytorch",
    ),
    "relative": (
        [("m", {"base": "models/m"})],
        "INVALID_ARGUMENT: Expected model m to have an absolute path or URI; got base_path()=models/m",
    ),
    "missing folder": (
        [("m", {}), ("n", {"base": "/not/there"})],
        "NOT_FOUND: Nothing to serve for model n: Could not find base path /not/there",
    ),
    "bucket": ([("m", {"base": "gs://bucket/m"})], "UNIMPLEMENTED: Model m has base_path gs://bucket/m"),
    "no name": ([("", {})], "INVALID_ARGUMENT: A config in the list has no name"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_a_configuration_that_cannot_be_right(case, bases, file: Path, tmp_path: Path) -> None:
    """§7.1, §7.2, §1.6."""
    entries, message = case
    made = [
        entry(name, changes.get("base", bases["first"]), **{k: v for k, v in changes.items() if k != "base"})
        for name, changes in entries
    ]
    file.write_text(configuration(*made))
    assert refusal(tmp_path, f"--model_config_file={file}").startswith(message)


def test_a_file_that_does_not_parse(file: Path, tmp_path: Path) -> None:
    """§7.1: with the place where it goes wrong, which upstream's users look for on stderr."""
    file.write_text("model_config_list {\n  config { nime: 'm' }\n}")
    said, log = refused(tmp_path, f"--model_config_file={file}")
    assert said.startswith(f"INVALID_ARGUMENT: Invalid protobuf file: '{file}'")
    assert "2:12" in said
    assert log.count("Error parsing text-format tensorflow.serving.ModelServerConfig: 2:12") == 1
    assert refusal(tmp_path, f"--model_config_file={file}.gone").startswith("NOT_FOUND: ")


def test_an_empty_file_at_the_start(configured, bases, file: Path) -> None:
    """§7.3: accepted, no models; a list may come later."""
    server = configured("", "--model_config_file_poll_wait_seconds=1")
    until(lambda: server.stderr.count("Taking no action for empty config.") > 1, "also when it is read again")
    assert server.ask("GET", "/v1/models/m").status == 404
    file.write_text(configuration(entry("m", bases["first"])))
    until(lambda: server.ask("GET", "/v1/models/m").status == 200, "the model has come")
    until(lambda: answer(server, "m") == 5.0, "and answers")
    assert "is not put in force" not in server.stderr, "as long as there is no list, there is none to keep"


def test_a_new_model_that_is_not_there(configured, bases, saved_models, file: Path, tmp_path: Path) -> None:
    """§7.3: the rest of the new file counts; the model is served once it is there."""
    server = configured(configuration(entry("first", bases["first"])), "--model_config_file_poll_wait_seconds=1")
    later = tmp_path / "later"
    file.write_text(configuration(entry("second", bases["second"]), entry("later", later)))
    until(lambda: "is in force, but UNKNOWN: 1 model(s) did not become available" in server.stderr, "the log says so")
    assert answer(server, "second") == 5.0
    until(lambda: answer(server, "first") == 404, "left out")
    saved_models.add_version(later, "1", 2)
    until(lambda: answer(server, "later") == 3.0, "served at last")


LABELLED = "model_version_policy {{ specific {{ versions: 1 versions: 2 }} }} {labels}"


def labelled(base: Path, **labels: int) -> str:
    written = " ".join(f'version_labels {{ key: "{key}" value: {value} }}' for key, value in labels.items())
    return configuration(entry("m", base, LABELLED.format(labels=written)))


def test_labels_canary_and_shift(configured, bases, file: Path) -> None:
    """§7.5, §7.6: label versions that are loaded, shift a label, drop one."""
    server = configured(labelled(bases["first"]), "--model_config_file_poll_wait_seconds=1")
    assert answer(server, "m", "/labels/canary") == 400
    file.write_text(labelled(bases["first"], stable=1, canary=2))
    until(lambda: answer(server, "m", "/labels/canary") == 4.0, "the canary answers")
    assert answer(server, "m", "/labels/stable") == 3.0
    with calls(server.grpc_port) as grpc_calls:
        asked = request("m", x=[2.0])
        asked.model_spec.version_label = "stable"
        reply = grpc_calls.predict(asked)
        assert (reply.model_spec.version.value, reply.model_spec.version_label) == (1, "")
        asked.model_spec.version_label = "nobody"
        message = "Unrecognized servable version label: nobody"
        assert outcome(grpc_calls.predict, asked) == ("INVALID_ARGUMENT", message)
    assert server.ask("GET", "/v1/models/m/labels/stable/metadata").json["model_spec"]["version"] == "1"
    assert set(server.ask("GET", "/v1/models/m/labels/nobody").json) == {"model_version_status"}, "a label is ignored"
    file.write_text(labelled(bases["first"], stable=2))
    until(lambda: answer(server, "m", "/labels/stable") == 4.0, "stable has moved")
    assert answer(server, "m", "/labels/canary") == 400


def test_a_label_for_a_version_that_is_not_loaded(configured, bases, file: Path, tmp_path: Path) -> None:
    """§7.5: refused with the whole configuration; at the first start the server ends."""
    file.write_text(labelled(bases["first"], stable=1))
    said = refusal(tmp_path, f"--model_config_file={file}")
    message = "Request to assign label to version 1 of model m, which is not currently available for inference"
    assert said.startswith(f"FAILED_PRECONDITION: {message}")
    server = configured(labelled(bases["first"]), "--model_config_file_poll_wait_seconds=1")
    file.write_text(labelled(bases["first"], stable=1, canary=3))
    until(lambda: message.replace("version 1", "version 3") in server.stderr, "the log says why")
    assert answer(server, "m", "/labels/stable") == 400


def test_labels_for_unavailable_models(configured, bases, file: Path) -> None:
    """§7.6, §7.7: with the flag a new label may point anywhere; one that exists may not move to an unloaded version."""
    server = configured(
        labelled(bases["first"], stable=1, next=3),
        "--allow_version_labels_for_unavailable_models",
        "--model_config_file_poll_wait_seconds=1",
    )
    assert answer(server, "m", "/labels/stable") == 3.0
    missing = server.ask("POST", "/v1/models/m/labels/next:predict", GOOD)
    assert (missing.status, missing.error) == (404, "Servable not found for request: Specific(m, 3)")
    file.write_text(labelled(bases["first"], stable=3, next=3))
    until(lambda: "Request to assign label to version 3 of model m" in server.stderr, "refused")
    assert answer(server, "m", "/labels/stable") == 3.0


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("specific { versions: 7 versions: 9 }", "there is no version [7, 9] (but 1, 2, 3)"),
        ("specific {}", "its version policy lists no versions"),
    ],
)
def test_a_policy_that_leaves_nothing_to_serve(bases, file: Path, tmp_path: Path, policy: str, message: str) -> None:
    """§6.3, §1.8: upstream warns and waits for ever; here the server ends and says why [deviation §13]."""
    file.write_text(configuration(entry("m", bases["first"], f"model_version_policy {{ {policy} }}")))
    assert f"NOT_FOUND: Nothing to serve for model m: {message}" in refusal(tmp_path, f"--model_config_file={file}")
