"""Entries are whole, and fetching survives a server that stalls, breaks off, fails and lies."""

import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from foretell.assets.catalog import CatalogEntry, fetch, list_entries, load_entry, provenance
from foretell.assets.catalog import fetching as fetching_module
from foretell.assets.readers.reading import READERS
from foretell.predictors.errors import DatasetError, InvalidInputError
from tests.assets.trace_lines import MIRROR, needs_mirror

CONTENT = bytes(range(256)) * 4000


@pytest.mark.parametrize("name", list_entries())
def test_entry_is_whole(name):
    entry = load_entry(name)
    assert entry.name == name
    assert entry.good_for
    assert entry.known_faults
    assert entry.reader is None or entry.reader in READERS
    assert len({file.path for file in entry.files}) == len(entry.files)
    # Pinned: a branch would change under its checksum.
    assert any(len(part) in (40, 60) for part in urlsplit(entry.base_url).path.split("/"))


def test_unknown_entry_lists_the_known_ones():
    with pytest.raises(InvalidInputError, match="pricing-reversal"):
        load_entry("nothing")


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../up", "a\\..\\up"])
def test_paths_never_leave_the_cache(path):
    with pytest.raises(ValueError, match="leaves the cache"):
        entry_of(path=path)


@needs_mirror
@pytest.mark.mirror
@pytest.mark.parametrize("name", list_entries())
def test_mirror_holds_every_file_of_the_catalogue(name, tmp_path):
    url = urlsplit(load_entry(name).base_url)
    place = "/".join([url.netloc, *url.path.split("/")[1:3]])
    if "://" not in MIRROR and not (Path(MIRROR) / place).is_dir():
        pytest.skip(f"the mirror holds nothing of {place}")
    seen = []
    paths = fetch(name, cache=tmp_path, mirror=MIRROR, progress=lambda *told: seen.append(told))
    assert len(paths) == len(load_entry(name).files) == len(seen)
    assert seen[-1][:2] == (load_entry(name).n_bytes,) * 2


def test_provenance_names_url_checksum_and_licence():
    (first, *_) = provenance("pricing-reversal")
    assert first["url"].startswith("https://raw.githubusercontent.com/lchen001/pricing-reversal/")
    assert first["licence"] == "MIT"
    assert len(first["sha256"]) == 64


def entry_of(path="data/file.bin", content=CONTENT):
    return CatalogEntry(
        name="test",
        title="t",
        homepage="h",
        licence="MIT",
        citation="c",
        table="request_traces",
        good_for=["x"],
        known_faults=["y"],
        base_url="https://example.org/repo/",
        files=[{"path": path, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}],
    )


@pytest.fixture
def entry(monkeypatch):
    monkeypatch.setattr(fetching_module, "RETRY_WAIT_S", 0.01)
    monkeypatch.setattr(fetching_module, "TIMEOUT_S", (1, 0.3))
    monkeypatch.setattr(fetching_module, "load_entry", lambda name: entry_of())
    return entry_of()


class Server:
    """A loopback server that answers each request by the next step of a script."""

    def __init__(self, *script):
        self.requests = []
        steps = list(script)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append((self.path, self.headers.get("Range")))
                step = steps.pop(0) if len(steps) > 1 else steps[0]
                step(self)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()


def whole(request):
    start = int((request.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
    request.send_response(206 if start else 200)
    request.send_header("Content-Length", str(len(CONTENT) - start))
    request.end_headers()
    request.wfile.write(CONTENT[start:])


def cut_off(request):
    request.send_response(200)
    request.send_header("Content-Length", str(len(CONTENT)))
    request.end_headers()
    request.wfile.write(CONTENT[: len(CONTENT) // 2])


def fails(request):
    request.send_error(500)


def absent(request):
    request.send_error(404)


def wrong_bytes(request):
    request.send_response(200)
    request.send_header("Content-Length", str(len(CONTENT)))
    request.end_headers()
    request.wfile.write(b"?" * len(CONTENT))


def endless(request):
    request.send_response(200)
    request.end_headers()
    try:
        while True:
            request.wfile.write(b"?" * 65536)
    except OSError:
        pass  # the client has had enough


def stalls(request):
    request.send_response(200)
    request.send_header("Content-Length", str(len(CONTENT)))
    request.end_headers()
    request.wfile.write(CONTENT[:1000])
    request.wfile.flush()
    time.sleep(1.0)


def get(server, cache):
    return fetch("test", cache=cache, mirror=server.url)


def test_good_server_is_asked_once_and_then_never_again(entry, tmp_path):
    with Server(whole) as server:
        (path,) = get(server, tmp_path)
        get(server, tmp_path)
        assert path.read_bytes() == CONTENT
        assert path == tmp_path / "example.org/repo/data/file.bin"
        assert [p for p, _ in server.requests] == ["/example.org/repo/data/file.bin"]


def test_damaged_file_of_the_cache_is_fetched_again(entry, tmp_path):
    with Server(whole) as server:
        (path,) = get(server, tmp_path)
        path.write_bytes(CONTENT[:-1])
        assert get(server, tmp_path) == [path]
        assert path.read_bytes() == CONTENT
        assert len(server.requests) == 2


def test_transfer_that_breaks_off_is_resumed_where_it_stopped(entry, tmp_path):
    with Server(cut_off, whole) as server:
        (path,) = get(server, tmp_path)
        assert path.read_bytes() == CONTENT
        start = int(server.requests[1][1].removeprefix("bytes=").rstrip("-"))
        assert len(CONTENT) // 2 - 65_536 < start <= len(CONTENT) // 2


@pytest.mark.parametrize("trouble", [fails, stalls, wrong_bytes, endless])
def test_trouble_that_passes_is_overcome(entry, tmp_path, trouble):
    with Server(trouble, whole) as server:
        (path,) = get(server, tmp_path)
        assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("trouble", "words", "tries"),
    [
        (fails, "status 500 after 4 tries", 4),
        (absent, "status 404 after 1 tries", 1),
        (wrong_bytes, "wrong content", 4),
    ],
)
def test_trouble_that_stays_is_told_and_leaves_no_file(entry, tmp_path, trouble, words, tries):
    with Server(trouble) as server:
        with pytest.raises(DatasetError, match=words):
            get(server, tmp_path)
        assert len(server.requests) == tries
        assert not list(tmp_path.rglob("file.bin"))


def test_nobody_listening_is_told(entry, tmp_path):
    with pytest.raises(DatasetError, match="FORETELL_MIRROR"):
        fetch("test", cache=tmp_path, mirror="http://127.0.0.1:9")


def test_folder_as_a_mirror_is_used_in_place_and_checked(entry, tmp_path):
    place = tmp_path / "mirror/example.org/repo/data/file.bin"
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT)
    assert fetch("test", cache=tmp_path / "cache", mirror=str(tmp_path / "mirror")) == [place]
    place.write_bytes(b"?")
    with pytest.raises(DatasetError, match="SHA-256"):
        fetch("test", cache=tmp_path / "cache", mirror=str(tmp_path / "mirror"))
    place.unlink()
    with pytest.raises(DatasetError, match="not in the mirror"):
        fetch("test", cache=tmp_path / "cache", mirror=str(tmp_path / "mirror"))
