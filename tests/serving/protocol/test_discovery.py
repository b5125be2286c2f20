"""Which folders are versions, and which of them are wanted: §6.1 to §6.5, §6.8, §6.14."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ..served import Served, until
from .test_config_file import answer, configuration, entry, states

STRICT = "--strict_tensorflow_serving"
NO_MODEL = b"this is no SavedModel"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "m"


@pytest.fixture
def add(saved_models, base: Path) -> Callable[..., Path]:
    """`add("2", plus=3)`: a version folder appears."""

    def version(number: str, plus: int = 2) -> Path:
        return saved_models.add_version(base, number, plus)

    return version


@pytest.fixture
def configured(serve, tmp_path: Path):
    """`configured(text, *flags)`: a running server whose models the text names."""

    def start(text: str, *flags: str) -> Served:
        (tmp_path / "models.config").write_text(text)
        return serve("ignored", "", f"--model_config_file={tmp_path / 'models.config'}", *flags)

    return start


def rewrite(server: Served, tmp_path: Path, text: str) -> None:
    """Put another configuration in force, and return when it is."""
    before = server.stderr.count("Adding/updating models.")
    (tmp_path / "models.config").write_text(text)
    until(lambda: server.stderr.count("Adding/updating models.") > before + 1, "read twice since")


ALL = "model_version_policy { all {} }"
NUMBERS = {
    "0": 0,
    "-1": -1,
    "+5": 5,
    "0002": 2,
    "00000123": 123,
    "1700000000": 1_700_000_000,
    "9223372036854775807": (1 << 63) - 1,
}
NAMES = ("9223372036854775808", "-9223372036854775809", "1.0", "1e3", "0x1", "--1", "+", "-", "1 1", "temp-5", "5.tmp")


def test_numbers(configured, base: Path, add) -> None:
    """§6.1: whatever is a 64-bit whole number, zeros in front and sign included; a number may be asked for."""
    for name in (*NUMBERS, *NAMES):
        add(name)
    server = configured(configuration(entry("m", base, ALL)))
    until(lambda: states(server, "m") == dict.fromkeys(NUMBERS.values(), "AVAILABLE"), "all of them, no others")
    assert answer(server, "m", "/versions/0") == 3.0
    assert answer(server, "m", "/versions/00000000002") == 3.0
    named = [name for name in NAMES for end in "/ :," if f"{base / name}{end}" in server.stderr]
    assert not named, "ignored silently"


@pytest.mark.parametrize("strict", [False, True])
def test_a_file_for_a_version(serve, base: Path, add, strict: bool) -> None:
    """§6.1: its name counts, so strict tries to load it; otherwise the log says what is missing [deviation §6.14]."""
    add("1")
    server = serve("m", base, f"{STRICT}={str(strict).lower()}")
    (base / "7").write_bytes(NO_MODEL)
    if strict:
        until(lambda: server.states() == {7: "END", 1: "AVAILABLE"}, "it was tried")
        status = server.ask("GET", "/v1/models/m/versions/7").json["model_version_status"][0]["status"]
        assert status["error_code"] != "OK"
    else:
        until(lambda: str(base / "7") in server.stderr, "the log names it")
        assert server.states() == {1: "AVAILABLE"}
    assert answer(server, "m") == 3.0


def test_a_number_that_stands_there_twice(serve, base: Path, add) -> None:
    """§6.2: the lexicographically last name is used, the log names the other; once, not at every look [ours]."""
    add("0002", plus=3), add("2", plus=4)
    server = serve("m", base)
    assert (server.states(), answer(server, "m")) == ({2: "AVAILABLE"}, 5.0)
    add("5", plus=2)
    until(lambda: answer(server, "m") == 3.0, "looked at again")
    (line,) = [line for line in server.stderr.splitlines() if str(base / "0002") in line]
    assert f"using {base / '2'}" in line


def test_changes_inside_a_version_are_not_noticed(configured, base: Path, add) -> None:
    """§6.4: other content under the same number goes unseen, while other versions come and go."""
    add("1", plus=2)
    other = add("aside", plus=4)
    server = configured(configuration(entry("m", base, ALL)))
    shutil.copytree(other, base / "1", dirs_exist_ok=True)
    add("2", plus=3)
    until(lambda: answer(server, "m") == 4.0, "looked at again")
    assert answer(server, "m", "/versions/1") == 3.0


def test_only_one_version_goes_on_when_none_is_aspired_and_up(configured, base: Path, add, tmp_path: Path) -> None:
    """§6.5: of several that are not wanted any more, the lowest ones go; the last answers until a wanted one does."""
    for number, plus in (("1", 2), ("2", 3), ("3", 4)):
        add(number, plus)
    server = configured(configuration(entry("m", base, ALL)), "--model_config_file_poll_wait_seconds=1")
    until(lambda: len(states(server, "m")) == 3, "all three")
    (base / "4").mkdir()
    (base / "4" / "saved_model.pb").write_bytes(NO_MODEL)
    rewrite(server, tmp_path, configuration(entry("m", base, "model_version_policy { specific { versions: 4 } }")))
    until(lambda: states(server, "m") == {4: "END", 3: "AVAILABLE", 2: "END", 1: "END"}, "3 goes on")
    assert answer(server, "m") == 5.0
    shutil.rmtree(base / "4")
    until(lambda: states(server, "m")[3] == "END", "nothing is aspired: nothing is served")
    assert answer(server, "m") == 404


def test_an_empty_list_of_versions(configured, base: Path, add, tmp_path: Path) -> None:
    """§6.3: a warning, and nothing is served."""
    add("1")
    server = configured(configuration(entry("m", base)), "--model_config_file_poll_wait_seconds=1")
    rewrite(server, tmp_path, configuration(entry("m", base, "model_version_policy { specific {} }")))
    until(lambda: states(server, "m") == {1: "END"}, "unloaded")
    assert answer(server, "m") == 404
    assert "Model m: its version policy lists no versions" in server.stderr


@pytest.mark.parametrize("strict", [False, True])
def test_one_missing_base_path(configured, saved_models, tmp_path: Path, strict: bool) -> None:
    """§6.8: strict discovers nothing for any model meanwhile; otherwise others go on [deviation §13]."""
    bases = {name: tmp_path / name for name in ("gone", "stays")}
    for base in bases.values():
        saved_models.add_version(base, "1", 2)
    models = configuration(*(entry(name, base) for name, base in bases.items()))
    server = configured(models, f"{STRICT}={str(strict).lower()}")
    bases["gone"].rename(tmp_path / "away")
    missing = f"Could not find base path {bases['gone']} for servable "
    until(lambda: missing in server.stderr, "the log names the missing folder")
    if strict:
        until(lambda: missing + "stays" in server.stderr, "and who is not looked at for it")
        saved_models.add_version(bases["stays"], "2", 3)
        saved_models.add_version(tmp_path / "away", "2", 3)
        assert (answer(server, "stays"), answer(server, "gone")) == (3.0, 3.0)
        (tmp_path / "away").rename(bases["gone"])
        until(lambda: answer(server, "gone") == 4.0, "all is well again")
        until(lambda: answer(server, "stays") == 4.0, "for both")
    else:
        saved_models.add_version(bases["stays"], "2", 3)
        until(lambda: answer(server, "stays") == 4.0, "the other one goes on")
        assert answer(server, "gone") == 3.0


def test_strict_loads_a_model_without_its_variables(serve, base: Path, add) -> None:
    """§6.14: as upstream; every request fails."""
    add("1")
    server = serve("m", base, STRICT)
    shutil.rmtree(add("2.aside") / "variables")
    (base / "2.aside").rename(base / "2")
    until(lambda: server.states() == {2: "AVAILABLE", 1: "END"}, "loaded")
    failed = server.predict({"instances": [1.0]})
    assert failed.status == 400
    assert re.search("Could not find variable (half|plus)", failed.error), "the first of the two that have no value"
