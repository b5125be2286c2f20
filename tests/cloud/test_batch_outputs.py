import json
from datetime import datetime, timedelta, timezone

import pytest

from labkit.cloud.local.batch_inputs import Instance
from labkit.cloud.local.batch_outputs import Outputs, output_folder
from labkit.cloud.local.batch_requests import Outcome
from labkit.cloud.local.objects import Objects
from labkit.cloud.local.status import ApiError, invalid
from labkit.cloud.local.storage import Storage


@pytest.fixture
def objects():
    found = Objects(Storage())
    found.create_bucket("lab")
    return found


def test_a_folder_is_named_by_model_and_moment():
    moment = datetime(2026, 7, 1, 9, 30, 5, 7_999, tzinfo=timezone(timedelta(hours=2)))
    assert output_folder("gs://lab/out/", "cnn", moment) == "gs://lab/out/prediction-cnn-2026_07_01T07_30_05_007Z"


def test_predictions_and_errors_stand_in_files_of_their_own(objects, tmp_path):
    with Outputs(tmp_path) as outputs:
        outputs.add([Outcome(Instance(b"1", b"[1]"), b"0.5"), Outcome(Instance(b"", b'"x"'), error=invalid("bad é"))])
        outputs.add([Outcome(Instance(b"2", b"7", "key"), b'{"a":1}')])
        assert (outputs.successful, outputs.failed) == (2, 1)
        outputs.publish(objects, "gs://lab/out")
    results = objects.read("gs://lab/out/prediction.results-00000-of-00001")
    assert results == b'{"instance":[1],"prediction":0.5}\n{"key":7,"prediction":{"a":1}}\n'
    errors = json.loads(objects.read("gs://lab/out/prediction.errors_stats-00000-of-00001"))
    assert errors == {"instance": "x", "error": {"code": 3, "message": "bad é"}}
    assert not list(tmp_path.iterdir())


def test_a_full_file_is_followed_by_another(objects, tmp_path):
    with Outputs(tmp_path, shard_bytes=100) as outputs:
        for number in range(12):
            outputs.add([Outcome(Instance(b"", b"%d" % number), b"0")])
        outputs.publish(objects, "gs://lab/out")
    names = [info.name_below_prefix for info in objects.below("gs://lab/out")]
    results = [name for name in names if "results" in name]
    assert results == [f"prediction.results-{number:05}-of-{len(results):05}" for number in range(len(results))]
    assert len(results) > 1
    assert "prediction.errors_stats-00000-of-00001" in names
    lines = b"".join(objects.read(f"gs://lab/out/{name}") for name in results).splitlines()
    assert [json.loads(line)["instance"] for line in lines] == list(range(12))


def test_a_bucket_that_is_missing_is_an_error(objects, tmp_path):
    with Outputs(tmp_path) as outputs, pytest.raises(ApiError, match="gs://none"):
        outputs.publish(objects, "gs://none/out")
