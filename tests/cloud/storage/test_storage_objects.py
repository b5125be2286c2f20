"""Objects, as Google's client sees them."""

import gzip
import json
import tracemalloc

import pytest
from google.api_core import exceptions


@pytest.mark.parametrize("content", [b"", b"\x00\r\n--==\n", bytes(range(256)) * 5000])
def test_what_is_uploaded_comes_back(bucket, content):
    bucket.blob("folder/a b%2F#?ü").upload_from_string(content, "application/x-lab")
    blob = bucket.get_blob("folder/a b%2F#?ü")
    assert blob.download_as_bytes() == content
    assert (blob.size, blob.content_type, blob.metageneration) == (len(content), "application/x-lab", 1)


def test_names_that_differ_are_different_objects(bucket):
    names = ["a", "a/", "a//", "/a", "a/../a", "a%2Fb", "a/b", "a\\b"]
    for name in names:
        bucket.blob(name).upload_from_string(name)
    assert sorted(blob.name for blob in bucket.list_blobs()) == sorted(names)
    assert [bucket.blob(name).download_as_text() for name in names] == names


def test_a_resumable_upload_in_pieces_is_one_object(bucket, tmp_path):
    content = bytes(range(256)) * 4096 + b"end"
    (tmp_path / "file").write_bytes(content)
    blob = bucket.blob("pieces", chunk_size=256 << 10)
    blob.upload_from_filename(tmp_path / "file")
    assert bucket.blob("pieces").download_as_bytes() == content
    with bucket.blob("written", chunk_size=256 << 10).open("wb") as file:
        file.write(content)
    with bucket.blob("written", chunk_size=256 << 10).open("rb") as file:
        assert file.read() == content


def test_a_lost_piece_is_told_and_sent_again(ask, bucket):
    start = ask("POST", f"/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&name=o", b"{}")
    session = start.headers["Location"].removeprefix("https://storage.googleapis.com")
    unit = 256 << 10
    piece = ask("PUT", session, bytes(unit + 5), content_range=f"bytes 0-{unit + 4}/*")
    assert (piece.status, piece.headers["Range"]) == (308, f"bytes=0-{unit - 1}")
    assert ask("PUT", session, content_range="bytes */*").headers["Range"] == f"bytes=0-{unit - 1}"
    assert ask("PUT", session, b"x", content_range=f"bytes {unit + 5}-{unit + 5}/*").status == 400
    last = ask("PUT", session, bytes(unit + 6), content_range=f"bytes 0-{unit + 5}/{unit + 6}")
    assert json.loads(last.body)["size"] == str(unit + 6)
    assert ask("PUT", session, content_range=f"bytes */{unit + 6}").body == last.body
    assert ask("PUT", session + "x", content_range="bytes */*").status == 404


def test_a_cancelled_upload_is_forgotten(ask, bucket):
    start = ask("POST", f"/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&name=o", b"{}")
    session = start.headers["Location"].removeprefix("https://storage.googleapis.com")
    assert ask("DELETE", session).status == 499
    assert ask("PUT", session, content_range="bytes */*").status == 404


def test_wrong_checksums_are_refused(ask, bucket):
    head, tail = b'--x\r\n\r\n{"name": "o", "md5Hash": "', b'"}\r\n--x\r\nContent-Type: a/b\r\n\r\ncontent\r\n--x--'
    target = f"/upload/storage/v1/b/{bucket.name}/o?uploadType=multipart"
    refused = ask("POST", target, head + b"wrong" + tail, content_type="multipart/related; boundary=x")
    assert refused.status == 400
    message = json.loads(refused.body)["error"]["message"]
    assert message.startswith('Provided MD5 hash "wrong" doesn\'t match calculated MD5 hash "mgNkuembtIDd')
    assert ask("PUT", f"/{bucket.name}/o", b"content", x_goog_hash="crc32c=AAAAAA==").status == 400
    assert bucket.get_blob("o") is None


def test_preconditions_hold_off_what_is_not_wanted(bucket):
    blob = bucket.blob("o")
    blob.upload_from_string("one", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("o").upload_from_string("two", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.delete(if_generation_match=1)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.reload(if_metageneration_match=7)
    with pytest.raises(exceptions.NotModified):
        blob.reload(if_generation_not_match=blob.generation)
    assert blob.download_as_text(if_generation_match=blob.generation) == "one"
    old = blob.generation
    bucket.blob("o").upload_from_string("two", if_generation_match=old)
    assert bucket.get_blob("o").generation > old
    with pytest.raises(exceptions.NotFound):
        bucket.blob("o", generation=old).download_as_bytes()


def test_missing_things_have_googles_words(client, bucket, ask):
    with pytest.raises(exceptions.NotFound, match=f"No such object: {bucket.name}/not/there"):
        bucket.blob("not/there").download_as_bytes()
    with pytest.raises(exceptions.NotFound, match=f"No such object: {bucket.name}/gone"):
        bucket.delete_blob("gone")
    with pytest.raises(exceptions.NotFound, match="The specified bucket does not exist"):
        client.bucket("no-such-bucket").blob("o").upload_from_string("x")
    media = ask("GET", f"/storage/v1/b/{bucket.name}/o/gone?alt=media")
    assert (media.status, media.body) == (404, f"No such object: {bucket.name}/gone".encode())
    answer = ask("GET", f"/storage/v1/b/{bucket.name}/o/gone")
    error = {"message": f"No such object: {bucket.name}/gone", "domain": "global", "reason": "notFound"}
    assert json.loads(answer.body) == {"error": {"code": 404, "message": error["message"], "errors": [error]}}


def test_parts_of_an_object(bucket):
    bucket.blob("o").upload_from_string(b"0123456789")
    blob = bucket.blob("o")
    assert blob.download_as_bytes(start=2, end=4) == b"234"
    assert blob.download_as_bytes(start=8) == b"89"
    assert blob.download_as_bytes(start=-3) == b"789"
    assert blob.download_as_bytes(start=5, end=100) == b"56789"
    with pytest.raises(exceptions.RequestRangeNotSatisfiable):
        blob.download_as_bytes(start=10)


def test_what_is_said_about_an_object(bucket):
    blob = bucket.blob("o")
    blob.metadata = {"epoch": "3", "loss": "0.5"}
    blob.cache_control = "no-store"
    blob.upload_from_string("x")
    blob.metadata = {"loss": None, "kind": "best"}
    blob.patch()
    found = bucket.get_blob("o")
    assert (found.metadata, found.cache_control, found.metageneration) == (
        {"epoch": "3", "kind": "best"},
        "no-store",
        2,
    )
    found.content_type = "text/plain"
    found.update()
    assert bucket.get_blob("o").content_type == "text/plain"


def test_gzip_is_taken_off_for_who_does_not_know_it(bucket, ask):
    blob = bucket.blob("o")
    blob.content_encoding = "gzip"
    blob.upload_from_string(gzip.compress(b"text"))
    assert bucket.blob("o").download_as_bytes() == b"text"
    assert gzip.decompress(bucket.blob("o").download_as_bytes(raw_download=True)) == b"text"
    plain, packed = ask("GET", f"/{bucket.name}/o"), ask("GET", f"/{bucket.name}/o", accept_encoding="gzip")
    assert (plain.body, "Content-Encoding" in plain.headers) == (b"text", False)
    assert (gzip.decompress(packed.body), packed.headers["Content-Encoding"]) == (b"text", "gzip")


def test_copies_keep_content_and_words(client, bucket):
    other = client.create_bucket("another-bucket")
    blob = bucket.blob("o")
    blob.metadata = {"epoch": "3"}
    blob.upload_from_string("content", "a/b")
    copied = bucket.copy_blob(blob, other, "copy")
    assert (copied.download_as_text(), copied.metadata, copied.content_type) == ("content", {"epoch": "3"}, "a/b")
    assert (copied.md5_hash, copied.crc32c) == (blob.md5_hash, blob.crc32c)
    renamed = bucket.rename_blob(blob, "renamed")
    assert [each.name for each in bucket.list_blobs()] == ["renamed"]
    assert renamed.download_as_text() == "content"
    renamed.update_storage_class("NEARLINE")
    assert bucket.get_blob("renamed").storage_class == "NEARLINE"
    assert bucket.move_blob(renamed, "moved").download_as_text() == "content"
    with pytest.raises(exceptions.NotFound):
        bucket.copy_blob(bucket.blob("gone"), other)


def test_a_new_storage_class_alone_keeps_the_rest(ask, bucket):
    ask("PUT", f"/{bucket.name}/o", b"x", content_type="a/b", x_goog_meta_epoch="3")
    target = f"/storage/v1/b/{bucket.name}/o/o/rewriteTo/b/{bucket.name}/o/o"
    ask("POST", target, b'{"storageClass": "NEARLINE"}')
    found = bucket.get_blob("o")
    assert (found.storage_class, found.content_type, found.metadata) == ("NEARLINE", "a/b", {"epoch": "3"})
    ask("POST", target, b'{"metadata": {"epoch": "4"}}')
    assert bucket.get_blob("o").metadata == {"epoch": "4"}


def test_objects_are_composed(bucket):
    for number in range(3):
        bucket.blob(f"{number}").upload_from_string(str(number), "a/b")
    whole = bucket.blob("whole")
    whole.compose([bucket.blob(name) for name in "012"])
    found = bucket.get_blob("whole")
    assert (found.download_as_text(), found.content_type, found.component_count) == ("012", "a/b", 3)
    assert found.md5_hash is None


def test_a_batch_is_answered_one_by_one(client, bucket):
    for number in range(3):
        bucket.blob(f"{number}").upload_from_string("x")
    with client.batch():
        for number in range(3):
            bucket.blob(f"{number}").delete()
    assert list(bucket.list_blobs()) == []
    bucket.blob("o").upload_from_string("x")
    with pytest.raises(exceptions.NotFound, match="No such object"), client.batch():
        bucket.blob("gone").delete()


def test_deleted_bytes_are_gone(ask, bucket):
    assert bucket.soft_delete_policy.retention_duration_seconds == 0
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        ask("PUT", f"/{bucket.name}/o", bytes(5_000_000))
        assert tracemalloc.get_traced_memory()[0] - before > 4_000_000
        ask("DELETE", f"/{bucket.name}/o")
        assert tracemalloc.get_traced_memory()[0] - before < 1_000_000
    finally:
        tracemalloc.stop()
