import grpc
import pytest

from labkit.cloud.local.objects import ObjectInfo, Objects
from labkit.cloud.local.status import ApiError
from labkit.cloud.local.storage import Storage


@pytest.fixture
def objects():
    found = Objects(Storage())
    found.create_bucket("lab")
    for name in ("model/1/saved_model.pb", "model/1/variables/", "model/1/variables/index", "model2/x", "data-1.csv"):
        found.write(f"gs://lab/{name}", name.encode())
    return found


def names(objects, uri):
    return [info.name_below_prefix for info in objects.below(uri)]


def test_a_prefix_is_a_folder_unless_it_ends_in_a_star(objects):
    assert names(objects, "gs://lab/model/1") == ["saved_model.pb", "variables/", "variables/index"]
    assert names(objects, "gs://lab/model/") == names(objects, "gs://lab/model")
    assert names(objects, "gs://lab/model*") == ["/1/saved_model.pb", "/1/variables/", "/1/variables/index", "2/x"]
    assert len(names(objects, "gs://lab")) == len(names(objects, "gs://lab/")) == 5
    assert objects.below("gs://lab/data*") == [ObjectInfo("gs://lab/data-1.csv", "-1.csv")]


def test_what_is_written_is_read(objects):
    objects.write("gs://lab/new", memoryview(b"bytes"))
    assert objects.read("gs://lab/new") == b"bytes"
    assert objects.exists("gs://lab/new")
    assert not objects.exists("gs://lab/ne")
    assert not objects.exists("gs://other/new")


def test_a_folder_becomes_files(objects, tmp_path):
    files = objects.download_folder("gs://lab/model/1", tmp_path / "copy")
    assert [path.relative_to(tmp_path / "copy").as_posix() for path in files] == ["saved_model.pb", "variables/index"]
    assert (tmp_path / "copy" / "variables" / "index").read_bytes() == b"model/1/variables/index"


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/out", ".."])
def test_nothing_is_written_outside_of_the_folder(objects, tmp_path, name):
    objects.write(f"gs://lab/bad/{name}", b"x")
    with pytest.raises(ApiError, match="outside of the folder"):
        objects.download_folder("gs://lab/bad", tmp_path / "copy")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"], ids=["too long", "NUL"])
def test_a_name_that_no_file_can_have_is_refused(objects, tmp_path, name):
    objects.write(f"gs://lab/model/1/{name}", b"x")
    with pytest.raises(ApiError, match="cannot be a file on this machine") as error:
        objects.download_folder("gs://lab/model/1", tmp_path / "copy")
    assert error.value.code == grpc.StatusCode.INVALID_ARGUMENT


def test_a_name_that_is_a_file_and_a_folder_is_refused(objects, tmp_path):
    objects.write("gs://lab/model/1/saved_model.pb/x", b"x")
    with pytest.raises(ApiError, match=r"gs://lab/model/1/saved_model.pb/x cannot be a file"):
        objects.download_folder("gs://lab/model/1", tmp_path / "copy")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda o: o.read("gs://lab/gone"), "gs://lab/gone"),
        (lambda o: o.read("gs://other/gone"), "gs://other"),
        (lambda o: o.write("gs://other/gone", b""), "gs://other"),
        (lambda o: o.below("gs://other/x"), "gs://other"),
        (lambda o: o.check_bucket("other"), "gs://other"),
        (lambda o: o.download_folder("gs://lab/mode", None), "gs://lab/mode"),
    ],
)
def test_what_is_missing_is_named(objects, ask, words):
    with pytest.raises(ApiError, match=words) as caught:
        ask(objects)
    assert caught.value.code == grpc.StatusCode.NOT_FOUND


def test_an_address_is_split(objects):
    assert objects.split("gs://lab/a/b") == ("lab", "a/b")
    assert objects.bucket("gs://lab") == "lab"
    with pytest.raises(ApiError, match="Expected gs://BUCKET/NAME"):
        objects.read("s3://lab/x")
