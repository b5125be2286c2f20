import gzip
import json
import re
import struct
from base64 import b64decode

import google_crc32c
import pytest

from labkit.cloud.local.batch_inputs import Shape, find, instances
from labkit.cloud.local.objects import Objects
from labkit.cloud.local.status import ApiError
from labkit.cloud.local.storage import Storage


@pytest.fixture
def objects():
    found = Objects(Storage())
    found.create_bucket("lab")
    return found


def read(objects, content, format="jsonl", **shape):
    objects.write("gs://lab/in", content)
    return list(instances(objects, "gs://lab/in", format, Shape(**shape)))


def sent(found):
    return [json.loads(each.sent) for each in found]


def shown(found):
    return [(each.label, json.loads(each.shown)) for each in found]


def tfrecord(*records):
    def checksum(data):
        crc = google_crc32c.value(data)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    heads = [struct.pack("<Q", len(record)) for record in records]
    return b"".join(
        head + checksum(head) + record + checksum(record) for head, record in zip(heads, records, strict=True)
    )


def test_lines_of_json_are_sent_as_they_stand(objects):
    found = read(objects, b'[1.50, 2]\r\n\n{"x": 1e0}\n"text"')
    assert [each.sent for each in found] == [b"[1.50, 2]", b'{"x": 1e0}', b'"text"']
    assert [each.shown for each in found] == [each.sent for each in found]
    assert not any(each.problem for each in found)


def test_a_line_that_is_no_json_is_there_with_its_problem(objects):
    found = read(objects, b"\xef\xbb\xbf[1]\n[1,\n\xff\nNaN\n[2]")
    assert [bool(each.problem) for each in found] == [False, True, True, True, False]
    assert "gs://lab/in, line 2" in found[1].problem
    assert json.loads(found[1].shown) == "[1,"


def test_a_key_is_shown_and_not_sent(objects):
    found = read(objects, b'{"id": 7, "x": [1]}', key="id")
    assert sent(found) == [{"x": [1]}]
    assert shown(found) == [("key", 7)]


def test_fields_are_chosen(objects):
    line = b'{"a": 1, "b": 2, "c": 3}'
    assert sent(read(objects, line, included=["c", "a"], kind="array")) == [[3, 1]]
    assert sent(read(objects, line, included=["c", "a"])) == [{"c": 3, "a": 1}]
    excluded = read(objects, line, excluded=["b"])
    assert sent(excluded) == [{"a": 1, "c": 3}]
    assert shown(excluded) == [("instance", {"a": 1, "b": 2, "c": 3})]


@pytest.mark.parametrize(
    ("line", "shape", "words"),
    [
        (b"[1]", {"key": "id"}, "Expected a JSON object"),
        (b"3", {"kind": "array"}, "Expected a JSON array, as instance_config asks for, got a number"),
        (b"[1]", {"kind": "object"}, "Expected a JSON object"),
        (b'{"a": 1}', {"included": ["b"]}, "no field 'b'.*there is a"),
    ],
)
def test_an_instance_that_does_not_fit_says_why(objects, line, shape, words):
    (found,) = read(objects, line, **shape)
    assert not found.sent
    assert re.search(words, found.problem)


def test_rows_of_a_table_are_arrays(objects):
    found = read(objects, b'"a",b,c\n0.5,2,"cat, ""big"""\n4.0,5,""\n', "csv")
    assert sent(found) == [[0.5, 2.0, 'cat, "big"'], [4.0, 5.0, ""]]
    assert sent(read(objects, b"a,b,c\n1,2,3\n", "csv", included=["c", "a"])) == [[3, 1]]
    keyed = read(objects, b'a,id\n1,"k"\n', "csv", key="id")
    assert sent(keyed) == [[1]]
    assert shown(keyed) == [("key", "k")]


def test_a_row_that_does_not_fit_says_why(objects):
    found = read(objects, b'a,b\n1,cat\n1\n1,2\n1,"x\n', "csv")
    assert [bool(each.problem) for each in found] == [True, True, False, True]
    assert 'write others as "text"' in found[0].problem
    assert "Expected 2 values" in found[1].problem


@pytest.mark.parametrize(("format", "pack"), [("tf-record", bytes), ("tf-record-gzip", gzip.compress)])
def test_records_are_sent_in_base64(objects, format, pack):
    found = read(objects, pack(tfrecord(b"\x00\xff", b"", b"x" * 1000)), format)
    assert [b64decode(each["b64"]) for each in sent(found)] == [b"\x00\xff", b"", b"x" * 1000]


def test_a_damaged_record_is_a_problem_and_those_before_it_are_not(objects):
    content = bytearray(tfrecord(b"one", b"two"))
    content[-5] ^= 1
    good, bad = read(objects, bytes(content), "tf-record")
    assert not good.problem
    assert "corrupted record" in bad.problem
    whole = gzip.compress(tfrecord(b"one", b"two"))
    assert "gs://lab/in" in read(objects, whole[:-6], "tf-record-gzip")[-1].problem
    assert read(objects, b"no gzip", "tf-record-gzip")[-1].problem


def test_listed_files_are_sent_in_base64(objects):
    objects.write("gs://lab/picture", b"\x89PNG")
    good, *bad = read(objects, b"gs://lab/picture\ngs://lab/none\npicture\n", "file-list")
    assert b64decode(json.loads(good.sent)["b64"]) == b"\x89PNG"
    assert json.loads(good.shown) == "gs://lab/picture"
    assert ["gs://lab/none" in bad[0].problem, "'picture'" in bad[1].problem] == [True, True]


def test_wildcards_stop_at_slashes(objects):
    for name in ("in/a.jsonl", "in/b.jsonl", "in/c.csv", "in/deep/d.jsonl", "in"):
        objects.write(f"gs://lab/{name}", b"")
    assert find(objects, ["gs://lab/in/*.jsonl"]) == ["gs://lab/in/a.jsonl", "gs://lab/in/b.jsonl"]
    assert len(find(objects, ["gs://lab/in/**.jsonl"])) == 3
    assert find(objects, ["gs://lab/in/[bc].*"]) == ["gs://lab/in/b.jsonl", "gs://lab/in/c.csv"]
    assert find(objects, ["gs://lab/in/?.csv", "gs://lab/in/c.csv"]) == ["gs://lab/in/c.csv"]


@pytest.mark.parametrize("uri", ["gs://lab/none", "gs://lab/none*", "gs://lab/in/", "gs://other/in"])
def test_an_address_without_files_is_an_error(objects, uri):
    objects.write("gs://lab/in/a", b"")
    with pytest.raises(ApiError, match=r"matched no files|does not exist"):
        find(objects, ["gs://lab/in/a", uri])
