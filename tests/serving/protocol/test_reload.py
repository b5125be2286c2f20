"""HandleReloadConfigRequest: the whole configuration put in place of another one while the server runs: §5.15, §7."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest

from ..grpc_calls import GrpcCalls, calls, failure, request
from ..served import Served, until
from .test_config_file import answer, configuration, entry, labelled, states


def reload(server_calls: GrpcCalls, text: str, timeout: float = 60.0):
    asked = ReloadConfigRequest()
    text_format.Parse(text, asked.config)
    return server_calls.model.HandleReloadConfigRequest(asked, timeout=timeout)


@pytest.fixture
def base(saved_models, tmp_path: Path) -> Path:
    """Versions 1 (+ 2), 2 (+ 3) and 3 (+ 4)."""
    for number, plus in (("1", 2), ("2", 3), ("3", 4)):
        saved_models.add_version(tmp_path / "m", number, plus)
    return tmp_path / "m"


@pytest.fixture
def server(serve, base: Path) -> Served:
    return serve("m", base)


@pytest.fixture
def server_calls(server: Served):
    with calls(server.grpc_port) as opened:
        yield opened


def test_models_come_and_go(server: Served, server_calls: GrpcCalls, base: Path, saved_models) -> None:
    """§5.15: answered once every new model is available; what is left out is unloaded."""
    other = saved_models.add_version(base.with_name("other"), "7", 2).parent
    done = reload(server_calls, configuration(entry("m", base), entry("other", other)))
    assert (done.status.error_code, done.status.error_message) == (0, "")
    assert (answer(server, "m"), answer(server, "other")) == (5.0, 3.0)
    reload(server_calls, configuration(entry("other", other)))
    until(lambda: states(server, "m") == {3: "END"}, "the model that was left out is unloaded")
    reload(server_calls, configuration(entry("m", base)))
    assert answer(server, "m") == 5.0, "and back again"


def test_pin_and_unpin(server: Served, server_calls: GrpcCalls, base: Path) -> None:
    """§6.6, §7: the previous version loads first; a reload does not wait for new versions of old models."""
    reload(server_calls, configuration(entry("m", base, "model_version_policy { specific { versions: 1 } }")))
    until(lambda: states(server, "m") == {3: "END", 1: "AVAILABLE"}, "pinned to version 1")
    reload(server_calls, configuration(entry("m", base)))
    until(lambda: states(server, "m") == {3: "AVAILABLE", 1: "END"}, "the highest again")


def test_canary_label_and_shift(server: Served, server_calls: GrpcCalls, base: Path) -> None:
    """§7.5, §7.6: load both, label, shift the label; a label too early is refused and changes nothing."""
    message = "Request to assign label to version 1 of model m, which is not currently available for inference"
    code, said = failure(reload, server_calls, labelled(base, stable=1))
    assert (code, said[: len(message)]) == ("FAILED_PRECONDITION", message)
    assert states(server, "m") == {3: "AVAILABLE"}, "nothing was changed"
    reload(server_calls, labelled(base))
    until(lambda: states(server, "m") == {3: "END", 2: "AVAILABLE", 1: "AVAILABLE"}, "both are loaded")
    reload(server_calls, labelled(base, stable=1, canary=2))
    assert (answer(server, "m", "/labels/stable"), answer(server, "m", "/labels/canary")) == (3.0, 4.0)
    asked = request("m", x=[2.0])
    asked.model_spec.version_label = "stable"
    spec = server_calls.predict(asked).model_spec
    assert (spec.WhichOneof("version_choice"), spec.version.value) == ("version", 1), "§5.8: the label is not echoed"
    reload(server_calls, labelled(base, stable=2))
    assert (answer(server, "m", "/labels/stable"), answer(server, "m", "/labels/canary")) == (4.0, 400)


def test_what_is_refused_changes_nothing(server: Served, server_calls: GrpcCalls, base: Path) -> None:
    """§5.15, §7.2."""
    not_a_list = (
        "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently supported"
    )
    refusals = {
        "": ("INVALID_ARGUMENT", not_a_list),
        "custom_model_config {}": ("INVALID_ARGUMENT", not_a_list),
        configuration(entry("m", base), entry("m", base)): (
            "INVALID_ARGUMENT",
            "Illegal to list model m multiple times in config list",
        ),
        configuration(entry("m", base, platform='model_platform: "pytorch"')): (
            "INVALID_ARGUMENT",
            "Illegal to change a model's platform. For model m platform was tensorflow and new platform requested is "
            "pytorch",
        ),
        configuration(entry("n", base, platform='model_platform: "pytorch"')): (
            "INVALID_ARGUMENT",
            "Model n requests unsupported platform pytorch",
        ),
    }
    for text, (code, message) in refusals.items():
        found, said = failure(reload, server_calls, text)
        assert (found, said[: len(message)]) == (code, message)
    assert states(server, "m") == {3: "AVAILABLE"}


def test_a_new_model_that_cannot_be_served(server: Served, server_calls: GrpcCalls, base: Path, saved_models) -> None:
    """§5.15: UNKNOWN, the configuration stays in force; a missing folder too is told at once [deviation §13]."""
    broken, later = base.with_name("broken"), base.with_name("later")
    (broken / "1").mkdir(parents=True)
    (broken / "1" / "saved_model.pb").write_bytes(b"this is no SavedModel")
    code, said = failure(reload, server_calls, configuration(entry("m", base), entry("broken", broken)))
    begin = "1 model(s) did not become available: {{name: broken version: 1} due to error: "
    assert (code, said[: len(begin)]) == ("UNKNOWN", begin)
    code, said = failure(reload, server_calls, configuration(entry("m", base), entry("later", later)))
    begin = "1 model(s) did not become available: {{name: later} due to error: NOT_FOUND: Nothing to serve"
    assert (code, said[: len(begin)]) == ("UNKNOWN", begin)
    saved_models.add_version(later, "1", 3)
    until(lambda: answer(server, "later") == 4.0, "the model is served as soon as it is there")
    assert answer(server, "m") == 5.0


def test_strict_waits_for_a_missing_folder(serve, base: Path) -> None:
    """§5.15: as upstream, but only as long as the client waits, and no other reload waits with it [deviation §13]."""
    server = serve("m", base, "--strict_tensorflow_serving")
    waiting = configuration(entry("m", base), entry("later", base.with_name("later")))
    with calls(server.grpc_port) as server_calls:
        asked = ReloadConfigRequest()
        text_format.Parse(waiting, asked.config)
        pending = server_calls.model.HandleReloadConfigRequest.future(asked, timeout=60)
        until(lambda: "later" in server.stderr, "the new configuration is in force")
        both = [entry(name, base.with_name(name)) for name in ("later", "never")]
        asked_twice = configuration(entry("m", base), *both)
        assert failure(reload, server_calls, asked_twice, timeout=1.0)[0] == "DEADLINE_EXCEEDED"
        assert not pending.done()
        reload(server_calls, configuration(entry("m", base)))
        code, said = failure(pending.result)
        begin = "1 model(s) did not become available: {{name: later} due to error: ABORTED: "
        assert (code, said[: len(begin)]) == ("UNKNOWN", begin)


def stuck(base: Path) -> Path:
    """A model whose load is tried again and again, for five minutes with the flags below."""
    (base / "1").mkdir(parents=True)
    (base / "1" / "saved_model.pb").write_bytes(b"this is no SavedModel")
    return base


RETRIES = ("--max_num_load_retries=5", "--load_retry_interval_micros=60000000")


def test_a_reload_has_a_deadline(serve, base: Path) -> None:
    """§13: the new configuration is in force, and the client hears who is not there yet [deviation of §5.15]."""
    server = serve("m", base, "--reload_timeout_seconds=1", *RETRIES)
    both = configuration(entry("m", base), entry("stuck", stuck(base.with_name("stuck"))))
    with calls(server.grpc_port) as server_calls:
        code, said = failure(reload, server_calls, both)
        assert code == "DEADLINE_EXCEEDED"
        assert said.startswith(
            "The new configuration is in force, but after 1 s these models are not available yet: st"
        )
        assert states(server, "stuck") == {1: "LOADING"}
        reload(server_calls, both)  # nothing is new this time
    assert answer(server, "m") == 5.0


def test_a_file_that_is_read_again_waits_no_longer(serve, base: Path, tmp_path: Path) -> None:
    """§7.3, §13: a model that does not come keeps no later configuration waiting [deviation of §5.15]."""
    file, models = tmp_path / "models.config", [entry("m", base)]
    file.write_text(configuration(*models))
    polled = (f"--model_config_file={file}", "--model_config_file_poll_wait_seconds=1", "--reload_timeout_seconds=1")
    server = serve("ignored", "/not/there", *polled, *RETRIES)
    for name, path in (("stuck", stuck(base.with_name("stuck"))), ("also", base)):
        models.append(entry(name, path))
        file.with_suffix(".new").write_text(configuration(*models))
        file.with_suffix(".new").rename(file)
        until(lambda: states(server, name), f"the model {name} is known")  # noqa: B023
    until(lambda: answer(server, "also") == 5.0, "it answers")
    assert states(server, "stuck") == {1: "LOADING"}
    assert f"{file} is read: DEADLINE_EXCEEDED: The new configuration is in force, but after 1 s" in server.stderr


def test_a_strict_reload_has_none(serve, base: Path) -> None:
    """§13, §5.15: upstream waits as long as the client does. (Another client's wait is the clock here.)"""
    server = serve("m", base, "--strict_tensorflow_serving", "--reload_timeout_seconds=1", *RETRIES)
    models = [entry("m", base), entry("stuck", stuck(base.with_name("stuck")))]
    with calls(server.grpc_port) as server_calls:
        asked = ReloadConfigRequest()
        text_format.Parse(configuration(*models), asked.config)
        pending = server_calls.model.HandleReloadConfigRequest.future(asked, timeout=120)
        until(lambda: "Loading servable: {name: stuck version: 1} failed" in server.stderr, "it is being tried")
        models.append(entry("also", stuck(base.with_name("also"))))
        assert failure(reload, server_calls, configuration(*models), timeout=3.0)[0] == "DEADLINE_EXCEEDED"
        assert not pending.done()
        pending.cancel()


def test_the_file_is_put_in_force_again_and_again(serve, base: Path, saved_models, tmp_path: Path) -> None:
    """§7.3: also when it has not changed: it undoes what a reload request did."""
    other = saved_models.add_version(tmp_path / "other", "7", 2).parent
    file = tmp_path / "models.config"
    file.write_text(configuration(entry("m", base)))
    server = serve("", "", f"--model_config_file={file}", "--model_config_file_poll_wait_seconds=1")
    with calls(server.grpc_port) as server_calls:
        reload(server_calls, configuration(entry("other", other)))
        until(lambda: states(server, "other") == {7: "END"}, "the file does not name it")
        until(lambda: answer(server, "m") == 5.0, "but this one")


@pytest.mark.parametrize("strict", [False, True])
def test_a_reload_of_a_server_that_looks_once(serve, base: Path, saved_models, strict: bool) -> None:
    """§7.8: strict never loads what is new; otherwise each configuration is looked at once [deviation]."""
    server = serve("m", base, "--file_system_poll_wait_seconds=0", f"--strict_tensorflow_serving={str(strict).lower()}")
    other = saved_models.add_version(base.with_name("other"), "7", 2).parent
    both = configuration(entry("m", base, "model_version_policy { all {} }"), entry("other", other))
    with calls(server.grpc_port) as server_calls:
        if strict:
            assert failure(reload, server_calls, both, timeout=3.0)[0] == "DEADLINE_EXCEEDED"
            assert (answer(server, "other"), states(server, "m")) == (404, {3: "AVAILABLE"})
        else:
            reload(server_calls, both)
            until(lambda: len(states(server, "m")) == 3, "the new policy counts, too")
            assert answer(server, "other") == 3.0
        reload(server_calls, "model_config_list {}")
        until(lambda: set(states(server, "m").values()) == {"END"}, "what is left out goes, either way")


def test_a_label_cannot_come_together_with_its_version(server: Served, server_calls: GrpcCalls, base: Path) -> None:
    """§7.6: both at once are refused as a whole, however often: the version is never reached."""
    pinned = "model_version_policy { specific { versions: 1 versions: 3 } } "
    both = configuration(entry("m", base, pinned + 'version_labels { key: "stable" value: 1 }'))
    for _ in range(2):
        assert failure(reload, server_calls, both)[0] == "FAILED_PRECONDITION"
    assert states(server, "m") == {3: "AVAILABLE"}
