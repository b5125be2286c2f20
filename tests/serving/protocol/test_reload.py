"""HandleReloadConfigRequest: the whole configuration put in place of another one while the server runs: §5.15, §7."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest

from ..grpc_calls import GrpcCalls, calls, failure
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
