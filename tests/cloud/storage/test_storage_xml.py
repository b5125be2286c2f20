"""The XML API: plain addresses, and uploads in parts."""

import datetime

import pytest
import requests
from google.cloud.storage import transfer_manager

PART = 5 << 20


def test_parts_side_by_side_are_one_object(bucket, tmp_path):
    content = bytes(range(256)) * (2 * PART // 256) + b"end"
    (tmp_path / "file").write_bytes(content)
    blob = bucket.blob("folder/large")
    blob.metadata = {"epoch": "3"}
    transfer_manager.upload_chunks_concurrently(
        tmp_path / "file", blob, chunk_size=PART, max_workers=3, worker_type=transfer_manager.THREAD
    )
    found = bucket.get_blob("folder/large")
    assert (found.size, found.metadata, found.component_count, found.md5_hash) == (
        len(content),
        {"epoch": "3"},
        3,
        None,
    )
    transfer_manager.download_chunks_concurrently(
        found, tmp_path / "back", chunk_size=PART, max_workers=3, worker_type=transfer_manager.THREAD
    )
    assert (tmp_path / "back").read_bytes() == content


def test_an_upload_in_parts_can_be_refused_and_given_up(ask, bucket):
    started = ask("POST", f"/{bucket.name}/o?uploads")
    upload = started.body.decode().partition("<UploadId>")[2].partition("<")[0]
    tags = [ask("PUT", f"/{bucket.name}/o?partNumber={n}&uploadId={upload}", b"x").headers["ETag"] for n in (1, 2)]

    def complete(*parts):
        listed = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>" for n, tag in parts)
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        return ask("POST", f"/{bucket.name}/o?uploadId={upload}", body)

    assert b"smaller than the minimum" in complete((1, tags[0]), (2, tags[1])).body
    assert b"<Code>InvalidPart</Code>" in complete((1, '"wrong"')).body
    assert b"ascending" in complete().body
    assert b"ascending" in complete((2, tags[1]), (1, tags[0])).body
    assert ask("DELETE", f"/{bucket.name}/o?uploadId={upload}").status == 204
    gone = complete((1, tags[0]))
    assert (gone.status, b"<Code>NoSuchUpload</Code>" in gone.body) == (404, True)


def test_plain_addresses(ask, bucket):
    put = ask("PUT", f"/{bucket.name}/a/b%20c", b"text", content_type="text/plain", x_goog_meta_epoch="3")
    assert put.status == 200
    got = ask("GET", f"/{bucket.name}/a/b%20c")
    assert (got.body, got.headers["Content-Type"], got.headers["X-Goog-Meta-epoch"]) == (b"text", "text/plain", "3")
    assert ask("GET", "/a/b%20c", host=f"{bucket.name}.storage.googleapis.com").body == b"text"
    part = ask("GET", f"/{bucket.name}/a/b%20c", range="bytes=1-2")
    assert (part.status, bytes(part.body), part.headers["Content-Range"]) == (206, b"ex", "bytes 1-2/4")
    assert ask("GET", f"/{bucket.name}/a/b%20c", range="bytes=4-9").status == 416
    assert ask("DELETE", f"/{bucket.name}/a/b%20c").status == 204
    missing = ask("GET", f"/{bucket.name}/a/b%20c")
    assert (missing.status, b"<Code>NoSuchKey</Code>" in missing.body) == (404, True)
    assert b"<Code>NoSuchBucket</Code>" in ask("GET", "/no-such-bucket/o").body


@pytest.mark.parametrize("name", ["batch-1", "upload", "download", "resumable", "storage"])
def test_a_bucket_may_be_called_as_a_part_of_the_json_api(client, ask, name):
    client.create_bucket(name).blob("a/o").upload_from_string("text")
    assert ask("GET", f"/{name}/a/o").body == b"text"


def test_signed_addresses_work_whoever_signed(front, bucket):
    bucket.blob("o").upload_from_string("text")
    signed = "?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Expires=1&X-Goog-Signature=00"
    assert requests.get(f"{front.url}/{bucket.name}/o{signed}", timeout=10).text == "text"
    assert requests.put(f"{front.url}/{bucket.name}/p{signed}", b"new", timeout=10).ok
    assert bucket.get_blob("p").time_created > datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def test_what_is_not_answered_says_so(ask):
    answer = ask("POST", "/storage/v1/b/bucket/o/o/somethingElse")
    assert answer.status == 501
    assert b"POST /storage/v1/b/bucket/o/o/somethingElse is not part of the local cloud" in answer.body
