"""Storage, as gcsfs sees it (pandas, Keras and many others go through it)."""

import pytest


@pytest.fixture
def fs(front, bucket):
    # As it is with GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT=false, which it reads when it is imported.
    from gcsfs.core import GCSFileSystem

    return GCSFileSystem(
        token="anon", endpoint_url=front.url, project="lab", skip_instance_cache=True, use_listings_cache=False
    )


def test_files_go_there_and_come_back(fs, tmp_path):
    (tmp_path / "in" / "below").mkdir(parents=True)
    (tmp_path / "in" / "a").write_bytes(b"a")
    (tmp_path / "in" / "below" / "b").write_bytes(bytes(300_000))
    fs.put(f"{tmp_path / 'in'}/", "bucket-of-tests/copy/", recursive=True)
    assert sorted(fs.find("bucket-of-tests")) == ["bucket-of-tests/copy/a", "bucket-of-tests/copy/below/b"]
    assert fs.ls("bucket-of-tests/copy") == ["bucket-of-tests/copy/a", "bucket-of-tests/copy/below"]
    assert fs.info("bucket-of-tests/copy/below/b")["size"] == 300_000
    fs.get("bucket-of-tests/copy/", f"{tmp_path / 'out'}/", recursive=True)
    assert (tmp_path / "out" / "below" / "b").read_bytes() == bytes(300_000)


def test_a_file_is_written_read_moved_and_deleted(fs):
    with fs.open("bucket-of-tests/file", "wb", block_size=512 << 10) as file:
        for _ in range(20):
            file.write(b"0123456789" * 10_000)
    with fs.open("bucket-of-tests/file", "rb") as file:
        file.seek(1_999_995)
        assert file.read() == b"56789"
    fs.mv("bucket-of-tests/file", "bucket-of-tests/moved")
    assert not fs.exists("bucket-of-tests/file")
    fs.rm("bucket-of-tests/moved")
    with pytest.raises(FileNotFoundError):
        fs.cat("bucket-of-tests/moved")
    assert fs.ls("bucket-of-tests") == []


def test_an_empty_file(fs):
    fs.touch("bucket-of-tests/empty")
    assert fs.cat("bucket-of-tests/empty") == b""
    assert fs.isfile("bucket-of-tests/empty")


def test_many_files_are_deleted_in_batches(fs, front, monkeypatch):
    monkeypatch.setattr(type(fs), "on_google", True)
    paths = [f"bucket-of-tests/many/{number}" for number in range(120)]
    fs.pipe(dict.fromkeys(paths, b"x"))
    fs.rm("bucket-of-tests/many", recursive=True)
    assert fs.find("bucket-of-tests") == []
    assert [request for request in front.seen if request.startswith("POST /batch")]
