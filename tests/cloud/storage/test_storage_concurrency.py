"""Many at once."""

import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

UPLOAD = "/upload/storage/v1/b/bucket-of-tests/o?uploadType=media&name="


def test_one_of_many_wins_a_name(ask, bucket):
    def create(number):
        return ask("POST", UPLOAD + "o&ifGenerationMatch=0", str(number).encode()).status

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(create, range(200)))
    assert sorted(statuses) == [200] + [412] * 199


def test_content_and_resource_belong_together(ask, bucket):
    ask("POST", UPLOAD + "o", b"first")
    done = threading.Event()

    def write():
        try:
            for number in range(300):
                assert ask("POST", UPLOAD + "o", bytes(1000 + number)).status == 200
        finally:
            done.set()

    def read(_):
        wrong = 0
        while not done.is_set():
            got = ask("GET", f"/{bucket.name}/o")
            wrong += len(got.body) != int(got.headers["X-Goog-Stored-Content-Length"])
        return wrong

    with ThreadPoolExecutor(5) as pool:
        written = pool.submit(write)
        assert sum(pool.map(read, range(4))) == 0
        written.result()


def test_generations_are_never_the_same(ask, bucket):
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: ask("POST", f"{UPLOAD}{number}", b"x"), range(300)))
    assert len({blob.generation for blob in bucket.list_blobs()}) == 300


def test_a_resumable_upload_is_not_copied_for_each_piece(ask, bucket):
    unit, pieces = 256 << 10, 40
    start = ask("POST", "/upload/storage/v1/b/bucket-of-tests/o?uploadType=resumable&name=o", b"{}")
    session = start.headers["Location"].removeprefix("https://storage.googleapis.com")
    tracemalloc.start()
    try:
        for number in range(pieces - 1):
            first = number * unit
            ask("PUT", session, bytes(unit), content_range=f"bytes {first}-{first + unit - 1}/*")
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
        first = (pieces - 1) * unit
        ask("PUT", session, bytes(unit), content_range=f"bytes {first}-{first + unit - 1}/*")
        assert tracemalloc.get_traced_memory()[1] - before < 3 * unit
    finally:
        tracemalloc.stop()
