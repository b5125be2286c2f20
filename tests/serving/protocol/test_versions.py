"""The life of versions under the latest policy: §6."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ..grpc_calls import calls, failure, request
from ..served import Command, Served, until

GOOD = {"instances": [2.0]}  # x / 2 + N answers 1 + N


def _answer(server: Served, version: int | None = None) -> float | int:
    """What the model answers to 2, or the HTTP status if it does not."""
    answer = server.predict(GOOD, version=version)
    return answer.json["predictions"][0] if answer.status == 200 else answer.status


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "model"


@pytest.fixture
def add(saved_models, base: Path) -> Callable[..., Path]:
    """`add("2", plus=3)`: a version folder appears."""

    def version(number: str, plus: int = 2) -> Path:
        return saved_models.add_version(base, number, plus)

    return version


def test_the_highest_number_is_served(serve, base: Path, add) -> None:
    """§6.1, §6.3: by number, not by name: 10 over 0009 and 2; other names are ignored silently."""
    add("2", plus=2), add("0009", plus=3), add("10", plus=4)
    for name in ("v11", "11.0", "11.tmp", "temp-12", ".ipynb_checkpoints", "latest", "12a", "1_3", "٣"):
        (base / name).mkdir()
    (base / "notes.txt").write_text("not a version")
    server = serve("model", base)
    assert server.states() == {10: "AVAILABLE"}
    assert (_answer(server), _answer(server, 10), _answer(server, 9), _answer(server, 2)) == (5.0, 5.0, 404, 404)
    for name in ("v11", "11.0", ".ipynb_checkpoints"):
        assert f"/{name}" not in server.stderr


def test_swap_and_rollback(serve, base: Path, add) -> None:
    """§6.5, §6.6, §6.10: the new version answers, then the old ends; and back; never an answer that is an error."""
    add("1", plus=2)
    server = serve("model", base)
    seen: list[float | int] = []
    done = threading.Event()

    def hammer() -> None:
        while not done.is_set():
            seen.append(_answer(server))

    asking = threading.Thread(target=hammer)
    asking.start()
    try:
        add("2", plus=3)
        until(lambda: server.states() == {2: "AVAILABLE", 1: "END"}, "version 2 up, version 1 gone")
        assert (_answer(server, 2), _answer(server, 1)) == (4.0, 404)
        shutil.rmtree(base / "2")
        until(lambda: server.states() == {2: "END", 1: "AVAILABLE"}, "version 1 back, version 2 gone")
        assert list(server.states()) == [2, 1], "newest first (§4.4)"
    finally:
        done.set()
        asking.join()
    changes = [value for index, value in enumerate(seen) if index == 0 or seen[index - 1] != value]
    assert changes == [3.0, 4.0, 3.0], "each answer from one version, each switch once, no gap"


def test_status_of_an_ended_version(serve, base: Path, add) -> None:
    """§4.4, §6.10: unloaded versions stay in the status, with OK."""
    add("1"), add("2", plus=3)
    server = serve("model", base)
    assert server.states() == {2: "AVAILABLE"}, "a version never aspired was never seen"
    shutil.rmtree(base / "2")
    until(lambda: server.states() == {2: "END", 1: "AVAILABLE"}, "rolled back")
    one = server.ask("GET", "/v1/models/model/versions/2").json["model_version_status"]
    assert one == [{"version": "2", "state": "END", "status": {"error_code": "OK", "error_message": ""}}]
    with calls(server.grpc_port) as grpc_calls:
        assert grpc_calls.predict(request("model", x=[2.0])).model_spec.version.value == 1


def test_renaming_the_newest_rolls_back(serve, base: Path, add) -> None:
    """§6.6."""
    add("1", plus=2), add("2", plus=3)
    server = serve("model", base)
    (base / "2").rename(base / "2.bad")
    until(lambda: _answer(server) == 3.0, "version 1 answers")


def test_the_same_number_again_is_loaded_afresh(serve, base: Path, add) -> None:
    """§6.4: changes inside a loaded version are not noticed. §6.13: gone and back again, it is read from disk."""
    add("1", plus=2)
    server = serve("model", base)
    shutil.rmtree(base / "1")
    until(lambda: server.states() == {1: "END"}, "unloaded")
    add("1", plus=4)
    until(lambda: _answer(server) == 5.0, "the new content")
    assert server.states() == {1: "AVAILABLE"}


def test_emptied_base_path_unloads_and_a_missing_one_does_not(serve, base: Path, add) -> None:
    """§6.7."""
    add("1", plus=2)
    server = serve("model", base)
    away = base.with_name("away")
    base.rename(away)
    until(lambda: str(base) in server.stderr.split("Running gRPC")[1], "the log names the missing base path")
    assert (_answer(server), server.states()) == (3.0, {1: "AVAILABLE"})
    shutil.rmtree(away / "1")
    away.rename(base)
    until(lambda: server.states() == {1: "END"}, "unloaded")
    gone = server.predict(GOOD)
    assert (gone.status, gone.error) == (404, "Servable not found for request: Latest(model)")
    add("2", plus=3)
    until(lambda: _answer(server) == 4.0, "the next version serves")
    assert server.states() == {2: "AVAILABLE", 1: "END"}


def test_a_broken_version_leaves_the_old_one_serving(serve, base: Path, add) -> None:
    """§6.11, §6.12: END with its error, after few quick retries [deviation §13: not 5 × 60 s]; a higher one works."""
    add("1", plus=2)
    server = serve("model", base)
    aside = base.with_name("broken")
    aside.mkdir()
    (aside / "saved_model.pb").write_bytes(b"this is no SavedModel")
    aside.rename(base / "2")
    until(lambda: server.states().get(2) == "END", "given up on version 2")
    assert server.states() == {2: "END", 1: "AVAILABLE"}
    status = server.ask("GET", "/v1/models/model/versions/2").json["model_version_status"][0]["status"]
    assert status["error_code"] != "OK"
    assert status["error_message"]
    assert (_answer(server), _answer(server, 2)) == (3.0, 404)
    add("3", plus=4)
    until(lambda: _answer(server) == 5.0, "version 3 serves")
    until(lambda: server.states() == {3: "AVAILABLE", 2: "END", 1: "END"}, "version 1 let go")


def test_a_repaired_version_is_tried_again(serve, base: Path, add) -> None:
    """§6.12: upstream never tries a failed number again; here it is, once its files change [deviation §13]."""
    add("1", plus=2)
    server = serve("model", base)
    good = add("2.aside", plus=3)
    content = (good / "saved_model.pb").read_bytes()
    (good / "saved_model.pb").write_bytes(content[:100])
    good.rename(base / "2")
    until(lambda: server.states().get(2) == "END", "given up on version 2")
    (base / "2" / "saved_model.pb").write_bytes(content)
    until(lambda: _answer(server) == 4.0, "version 2 serves")


def test_a_folder_that_is_being_copied_in_waits(serve, base: Path, add) -> None:
    """§6.14: upstream loads what it sees; here saved_model.pb is waited for [deviation: learners copy by hand]."""
    add("1", plus=2)
    server = serve("model", base)
    good = add("2.aside", plus=3)
    (base / "2").mkdir()
    until(lambda: str(base / "2") in server.stderr, "the log names the incomplete folder")
    assert (_answer(server), server.states()) == (3.0, {1: "AVAILABLE"})
    shutil.copytree(good / "variables", base / "2" / "variables")
    shutil.copy(good / "saved_model.pb", base / "2" / "saved_model.pb")
    until(lambda: _answer(server) == 4.0, "version 2 serves")


def test_poll_0_looks_once(serve, base: Path, add, saved_models) -> None:
    """§1.4: a second server that polls tells when the first had its chance."""
    add("1", plus=2)
    once, polling = serve("model", base, "--file_system_poll_wait_seconds=0"), serve("model", base)
    add("2", plus=3)
    until(lambda: _answer(polling) == 4.0, "the polling server switched")
    assert (_answer(once), once.states()) == (3.0, {1: "AVAILABLE"})


def test_an_unload_waits_for_requests_in_flight(serve, saved_models, base: Path, add) -> None:
    """§6.9: the old version answers what it had begun, while it takes nothing new."""
    base.mkdir()
    shutil.copytree(saved_models.slow / "1", base / "1")
    server = serve("model", base)
    answers: list = []
    body = {"signature_name": "wait", "inputs": {"seconds": [5.0], "x": [7.0]}}
    asking = threading.Thread(target=lambda: answers.append(server.predict(body)))
    asking.start()
    add("2", plus=3)
    until(lambda: server.states() == {2: "AVAILABLE", 1: "UNLOADING"}, "version 1 waits for its last request")
    assert not answers
    assert (_answer(server), _answer(server, 1)) == (4.0, 404)
    asking.join()
    assert (answers[0].status, answers[0].json) == (200, {"outputs": [7.0]})
    until(lambda: server.states() == {2: "AVAILABLE", 1: "END"}, "version 1 gone")


def test_resource_preserving_frees_the_old_version_first(serve, saved_models, base: Path, add) -> None:
    """TensorFlow Serving's library has this policy, its program no flag for it: UNAVAILABLE in between, and why."""
    base.mkdir()
    shutil.copytree(saved_models.slow / "1", base / "1")
    server = serve("model", base, "--aspired_version_policy=resource_preserving")
    body = {"signature_name": "wait", "inputs": {"seconds": [4.0], "x": [7.0]}}
    answers: list = []
    asking = threading.Thread(target=lambda: answers.append(server.predict(body)))
    asking.start()
    add("2", plus=3)
    until(lambda: server.states() == {1: "UNLOADING"}, "version 1 goes first, and waits for its last request")
    refused = server.predict(GOOD)
    assert refused.status == 503
    assert refused.error.startswith("Model model is between versions: version 2 loads once")
    with calls(server.grpc_port) as grpc_calls:
        assert failure(grpc_calls.predict, request("model", x=[2.0]))[0] == "UNAVAILABLE"
    asking.join()
    assert answers[0].json == {"outputs": [7.0]}
    until(lambda: _answer(server) == 4.0, "version 2 answers")
    assert server.states() == {2: "AVAILABLE", 1: "END"}


def test_a_long_drain_does_not_hold_up_the_next_version(serve, saved_models, base: Path, add) -> None:
    """§6.9: upstream's single thread waits; here version 3 comes while version 1 still has a request."""
    base.mkdir()
    shutil.copytree(saved_models.slow / "1", base / "1")
    server = serve("model", base)
    body = {"signature_name": "wait", "inputs": {"seconds": [6.0], "x": [7.0]}}
    asking = threading.Thread(target=server.predict, args=(body,))
    asking.start()
    add("2", plus=3)
    until(lambda: server.states() == {2: "AVAILABLE", 1: "UNLOADING"}, "version 1 waits for its request")
    add("3", plus=4)
    until(lambda: server.states() == {3: "AVAILABLE", 2: "END", 1: "UNLOADING"}, "version 3 is there meanwhile")
    asking.join()
    until(lambda: server.states() == {3: "AVAILABLE", 2: "END", 1: "END"}, "version 1 has ended")


def _broken(base: Path, number: str) -> Path:
    aside = base.with_name(f"broken-{number}")
    aside.mkdir()
    (aside / "saved_model.pb").write_bytes(b"this is no SavedModel")
    return aside.rename(base / number)


def test_a_version_is_loading_while_it_is_tried_again(serve, base: Path, add) -> None:
    """§6.11, §6.12: LOADING with OK during retries; removing the folder ends them."""
    add("1", plus=2)
    server = serve("model", base, "--max_num_load_retries=5", "--load_retry_interval_micros=60000000")
    _broken(base, "2")
    until(lambda: "Loading servable: {name: model version: 2} failed" in server.stderr, "the first try has failed")
    status = server.ask("GET", "/v1/models/model/versions/2").json["model_version_status"][0]
    assert (status["state"], status["status"]["error_code"]) == ("LOADING", "OK")
    add("1000", plus=4)
    until(lambda: _answer(server) == 5.0, "a higher number is loaded meanwhile")
    shutil.rmtree(base / "2")
    until(lambda: server.states() == {1000: "AVAILABLE", 2: "END", 1: "END"}, "the retries have ended")


def test_strict_does_not_try_a_failed_version_again(serve, base: Path, add) -> None:
    """§6.12, §6.14: strict loads what it finds, once; a number is tried again after it was away for a poll."""
    add("1", plus=2)
    server = serve("model", base, "--strict_tensorflow_serving")
    (base / "2").mkdir()
    until(lambda: server.states().get(2) == "END", "an empty folder is loaded as it is")
    assert _answer(server) == 3.0
    good = add("2.aside", plus=3)
    for child in good.iterdir():
        child.rename(base / "2" / child.name)
    tries = server.stderr.count("version: 2} failed")
    add("3", plus=4)
    until(lambda: _answer(server) == 5.0, "the folder was looked at again")
    assert (server.states()[2], server.stderr.count("version: 2} failed")) == ("END", tries)
    (base / "3").rename(base / "3.away"), (base / "2").rename(base / "2.away")
    until(lambda: _answer(server) == 3.0, "back to version 1")
    (base / "2.away").rename(base / "2")
    until(lambda: _answer(server) == 4.0, "and now version 2")


def test_strict_waits_for_a_model(saved_models, base: Path, tmp_path: Path) -> None:
    """§1.8: without a port, until there is a version."""
    waiting = Command(tmp_path, "--port=auto", f"--model_base_path={base}", "--strict_tensorflow_serving")
    with waiting as command:
        until(lambda: f"Could not find base path {base}" in command.stderr, "the log says what is missing")
        assert "Running gRPC" not in command.stderr
        saved_models.add_version(base, "1", 2)
        until(lambda: "Running gRPC ModelServer" in command.stderr, "it opens its port")
