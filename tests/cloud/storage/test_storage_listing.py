"""Listings, and buckets."""

import pytest
from google.api_core import exceptions

NAMES = ["a", "a/", "a/1", "a/2", "a/b/3", "b/4", "c", "é"]


@pytest.fixture
def full(bucket):
    for name in NAMES:
        bucket.blob(name).upload_from_string("x")
    return bucket


def shown(iterator):
    names = [blob.name for blob in iterator]
    return names, sorted(iterator.prefixes)


def test_a_prefix_and_a_delimiter(full):
    assert shown(full.list_blobs()) == (NAMES, [])
    assert shown(full.list_blobs(prefix="a/")) == (["a/", "a/1", "a/2", "a/b/3"], [])
    assert shown(full.list_blobs(delimiter="/")) == (["a", "c", "é"], ["a/", "b/"])
    assert shown(full.list_blobs(prefix="a/", delimiter="/")) == (["a/", "a/1", "a/2"], ["a/b/"])
    assert shown(full.list_blobs(delimiter="/", include_trailing_delimiter=True)) == (
        ["a", "a/", "c", "é"],
        ["a/", "b/"],
    )


def test_offsets_and_globs(full):
    assert shown(full.list_blobs(start_offset="a/2", end_offset="c"))[0] == ["a/2", "a/b/3", "b/4"]
    assert shown(full.list_blobs(match_glob="a/*"))[0] == ["a/", "a/1", "a/2"]


@pytest.mark.parametrize("delimiter", ["", "/"])
def test_pages_put_together_are_the_whole(full, delimiter):
    whole = shown(full.list_blobs(delimiter=delimiter))
    for size in (1, 2, 3):
        assert shown(full.list_blobs(delimiter=delimiter, page_size=size)) == whole
    assert len(list(full.list_blobs(max_results=3))) == 3


def test_a_bucket_is_made_once_and_deleted_empty(client):
    bucket = client.create_bucket("bucket-of-tests", location="europe-west4")
    assert (bucket.location, bucket.location_type) == ("EUROPE-WEST4", "region")
    with pytest.raises(exceptions.Conflict, match="Your previous request to create the named bucket succeeded"):
        client.create_bucket("bucket-of-tests")
    bucket.blob("o").upload_from_string("x")
    with pytest.raises(exceptions.Conflict, match="The bucket you tried to delete is not empty"):
        bucket.delete()
    bucket.delete(force=True)
    assert not bucket.exists()
    with pytest.raises(exceptions.NotFound, match="The specified bucket does not exist"):
        client.get_bucket("bucket-of-tests")


@pytest.mark.parametrize("name", ["ab", "Upper", "a..b", "goog-lab", "1.2.3.4", "a" * 64])
def test_names_that_no_bucket_has_are_refused(client, name):
    with pytest.raises(exceptions.BadRequest, match="Invalid bucket name"):
        client.create_bucket(name)


def test_what_is_said_about_a_bucket(client, bucket):
    bucket.labels = {"team": "lab", "tier": "test"}
    bucket.patch()
    bucket.labels = {"team": "lab"}
    bucket.patch()
    assert client.get_bucket(bucket.name).labels == {"team": "lab"}
    assert [each.name for each in client.list_buckets(prefix="bucket-")] == [bucket.name]
    assert bucket.test_iam_permissions(["storage.objects.get"]) == ["storage.objects.get"]
    policy = bucket.get_iam_policy()
    policy.bindings.append({"role": "roles/storage.objectViewer", "members": {"allUsers"}})
    bucket.set_iam_policy(policy)
    assert bucket.get_iam_policy().bindings[0]["members"] == {"allUsers"}
