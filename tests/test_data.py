"""Data sets: fetched once, checked always, and one clear message where that cannot be."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from loopymeta import data
from loopymeta.data import DataError

CONTENT = b"emma\nolivia\nava\n" * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT at /good, and what can go wrong at other addresses."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.half_sent = threading.Event()

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path == "/missing":
            return self.send_error(404)
        body = b"something else" if self.path == "/wrong" else CONTENT
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.path in ("/truncated", "/hanging"):
            body = body[: len(body) // 2]
        self.wfile.write(body)
        self.wfile.flush()
        if self.path == "/hanging":
            self.server.half_sent.set()
            time.sleep(20)
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    running = Server()
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def cache(monkeypatch, tmp_path):
    folder = tmp_path / "cache"
    monkeypatch.setenv("LOOPYMETA_CACHE", str(folder))
    monkeypatch.delenv("LOOPYMETA_DATA", raising=False)
    return folder


def point(monkeypatch, url: str) -> None:
    """Makes the data set "names" a small file at another address."""
    dataset = dataclasses.replace(data.DATASETS["names"], url=url, sha256=SHA256)
    monkeypatch.setitem(data.DATASETS, "names", dataset)


def assert_nothing_left(cache: Path) -> None:
    assert [file for file in cache.rglob("*") if file.is_file()] == []
    assert data.status("names") == "missing"


# Fetching -----------------------------------------------------------------------------------------


def test_fetches_once(monkeypatch, server, cache, capsys):
    point(monkeypatch, server.address("good"))
    assert data.status("names") == "missing"
    file = data.path("names")
    assert file == cache / "names.txt" and file.read_bytes() == CONTENT
    assert data.status("names") == "cached" and data.verify("names") == file
    assert server.address("good") in capsys.readouterr().err
    assert data.path("names") == data.fetch("names") == file
    assert server.asked == ["/good"]
    assert capsys.readouterr().err == ""
    assert list((cache / "partial").iterdir()) == []


def test_shows_progress_when_asked(monkeypatch, server, cache, capsys):
    point(monkeypatch, server.address("good"))
    data.fetch("names", progress=True)
    assert "100%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("wrong", [SHA256, hashlib.sha256(b"something else").hexdigest(), "checksum"]),
        ("truncated", ["server"]),
        ("missing", ["404"]),
    ],
)
def test_a_bad_answer_leaves_nothing_behind(monkeypatch, server, cache, path, words):
    point(monkeypatch, server.address(path))
    with pytest.raises(DataError) as caught:
        data.path("names")
    message = str(caught.value)
    expected = ["'names'", server.address(path), "loopymeta data fetch names", "LOOPYMETA_DATA"]
    for word in [*words, *expected]:
        assert word in message
    assert "\n" not in message
    assert_nothing_left(cache)


def test_a_silent_server_is_given_up(monkeypatch, server, cache):
    monkeypatch.setattr(data, "_TIMEOUT", 0.3)
    point(monkeypatch, server.address("hanging"))
    with pytest.raises(DataError, match="no answer"):
        data.path("names")
    assert_nothing_left(cache)


def test_offline(monkeypatch, cache):
    """The real address, through a proxy that is not there."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(DataError, match=r"no answer .*raw\.githubusercontent\.com"):
        data.read_text("names")
    assert_nothing_left(cache)


def test_an_interrupted_download_leaves_nothing_behind(monkeypatch, server, cache):
    import requests

    point(monkeypatch, server.address("good"))

    def interrupted(self, chunk_size):
        yield CONTENT[:1000]
        raise KeyboardInterrupt

    monkeypatch.setattr(requests.Response, "iter_content", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.path("names")
    assert_nothing_left(cache)


def test_a_killed_download_is_not_taken_for_the_file(monkeypatch, server, cache):
    """Killed half-way, without a chance to clean up: nothing bears the name, the next one works."""
    code = f"""
import dataclasses
from loopymeta import data
data.DATASETS["names"] = dataclasses.replace(
    data.DATASETS["names"], url={server.address("hanging")!r}, sha256={SHA256!r})
data.fetch("names")
"""
    source = str(Path(data.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": source, "LOOPYMETA_CACHE": str(cache)},
        stderr=subprocess.DEVNULL,
    )
    assert server.half_sent.wait(60)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert not (cache / "names.txt").exists()
    leftovers = list((cache / "partial").iterdir())
    assert leftovers
    point(monkeypatch, server.address("good"))
    assert data.status("names") == "missing"
    # What is left is removed by the next fetch, once it is too old to be another process's.
    for leftover in leftovers:
        os.utime(leftover, (0, 0))
    assert data.path("names").read_bytes() == CONTENT
    assert list((cache / "partial").iterdir()) == []


def test_a_full_disk(monkeypatch, server, cache):
    import pooch

    def full(self, url, output_file, pooch, check_only=False):
        Path(output_file).write_bytes(CONTENT[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", full)
    point(monkeypatch, server.address("good"))
    with pytest.raises(DataError, match=r"cannot write to .*No space left"):
        data.path("names")
    assert_nothing_left(cache)


def test_a_cache_that_cannot_be_written(monkeypatch, server, tmp_path, cache):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LOOPYMETA_CACHE", str(tmp_path / "file" / "cache"))
    point(monkeypatch, server.address("good"))
    with pytest.raises(DataError, match="cannot write to"):
        data.path("names")


# The cache and the folder of one's own ------------------------------------------------------------


def test_a_damaged_cache_is_noticed_and_replaced(monkeypatch, server, cache):
    point(monkeypatch, server.address("good"))
    cache.mkdir()
    (cache / "names.txt").write_bytes(CONTENT[:-1])
    assert data.status("names") == "damaged"
    with pytest.raises(DataError, match=SHA256):
        data.verify("names")
    with pytest.raises(DataError, match=hashlib.sha256(CONTENT[:-1]).hexdigest()):
        data.path("names", fetch=False)
    assert server.asked == []
    assert data.path("names").read_bytes() == CONTENT


def test_no_fetch_without_leave(monkeypatch, server, cache):
    point(monkeypatch, server.address("good"))
    with pytest.raises(DataError, match=r"not here .*loopymeta data fetch names"):
        data.path("names", fetch=False)
    assert server.asked == []


def test_the_folder_of_ones_own_comes_first(monkeypatch, server, cache, tmp_path):
    point(monkeypatch, server.address("good"))
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("LOOPYMETA_DATA", str(own))
    (own / "names.txt").write_bytes(CONTENT)
    assert data.path("names") == own / "names.txt"
    assert server.asked == [] and not cache.exists()
    # A wrong file there is an error that names both sums; it is neither replaced nor passed over.
    (own / "names.txt").write_bytes(b"something else")
    assert data.status("names") == "damaged"
    wrong = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(DataError, match=f"{wrong}, expected {SHA256}"):
        data.path("names")
    assert server.asked == [] and (own / "names.txt").read_bytes() == b"something else"
    # What is not there comes from the cache or its address, and is not written there.
    (own / "names.txt").unlink()
    assert data.path("names") == cache / "names.txt"
    assert list(own.iterdir()) == []


def test_a_folder_of_ones_own_that_is_not_there(monkeypatch, cache, tmp_path):
    monkeypatch.setenv("LOOPYMETA_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"LOOPYMETA_DATA names .*not a folder"):
        data.path("names")


def test_unknown_names():
    for function in (data.status, data.verify, data.path, data.fetch):
        with pytest.raises(ValueError, match="Did you mean 'tinyshakespeare'"):
            function("tinyshakespear")


def test_the_cache_is_the_users_by_default(monkeypatch):
    monkeypatch.delenv("LOOPYMETA_CACHE", raising=False)
    assert "loopymeta" in str(data.cache_dir())


def test_addresses_are_pinned():
    assert len(data.DATASETS) == 5
    for name, dataset in data.DATASETS.items():
        assert dataset.name == name and len(dataset.sha256) == 64
        commit = dataset.url.removeprefix("https://raw.githubusercontent.com/").split("/")[2]
        assert len(commit) == 40 and int(commit, 16)


# Reading ------------------------------------------------------------------------------------------


def test_reads_text(tmp_path):
    file = tmp_path / "text.txt"
    file.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthr\xc3\xa9e\n")
    assert data.read_text(file) == data.read_text(str(file)) == "one\ntwo\nthrée\n"


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"", "is empty"), (b"na\xefve", r"not UTF-8 text: byte 0xef at position 2")],
)
def test_text_that_cannot_be_read(tmp_path, content, word):
    file = tmp_path / "text.txt"
    file.write_bytes(content)
    with pytest.raises(DataError, match=word):
        data.read_text(file)


def test_text_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"no file .*nothing\.txt"):
        data.read_text(tmp_path / "nothing.txt")
    with pytest.raises(DataError, match="Did you mean 'huck_fin'"):
        data.read_text("huckfin")
    with pytest.raises(DataError, match="cannot read"):
        data.read_text(tmp_path)


def test_lecture_split():
    if data.status("names") != "cached":
        pytest.skip("needs the names data set")
    train, dev, test = data.names_split()
    assert [len(train), len(dev), len(test)] == [25_626, 3_203, 3_204]
    # The first names after random.seed(42); random.shuffle(names), as in the lectures.
    assert train[:3] == ["yuheng", "diondre", "xavien"]
    assert sorted(train + dev + test) == sorted(data.read_text("names").splitlines())
    with pytest.raises(ValueError, match="lecture"):
        data.names_split("random")


def test_makemore_permutation_is_torchs():
    """Torch shuffles by the words of the Mersenne twister that numpy has, too."""
    order = data.makemore_permutation()
    digest = "81bdd91b529d78ee58a244e4d6c80fe12b835b3ffb0054737287f5606e5c524a"
    assert hashlib.sha256(order.astype("<u2").tobytes()).hexdigest() == digest
    words = np.random.RandomState(3407).randint(0, 2**32, order.size, dtype=np.uint32)
    expected = list(range(order.size))
    for place, word in enumerate(words[:-1].tolist()):
        other = place + word % (order.size - place)
        expected[place], expected[other] = expected[other], expected[place]
    assert order.tolist() == expected


def test_makemore_split():
    if data.status("names") != "cached":
        pytest.skip("needs the names data set")
    train, dev, test = data.names_split("makemore")
    assert [len(train), len(dev), len(test)] == [31_033, 0, 1000]
    assert train[0] == "apollo" and test[:3] == ["kalub", "shaima", "sthefany"]
    assert sorted(train + test) == sorted(data.read_text("names").splitlines())
