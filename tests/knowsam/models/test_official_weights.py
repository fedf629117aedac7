"""Official weights arrive whole or not at all, go on where a download broke off, and are told from other files."""

from __future__ import annotations

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from knowsam.errors import CheckpointError
from knowsam.models import download as download_module
from knowsam.models.download import download
from knowsam.models.official_weights import (
    OFFICIAL,
    OfficialWeights,
    add_official_weights,
    is_intact,
    official_weights_file,
    place_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves `files`; sends at most `bytes_an_answer` of them before it breaks off.

    Attributes
    ----------
    goes_on : whether it can begin in the middle. starts : where each answer began.
    """

    def __init__(self) -> None:
        self.files = {"sam.pth": CONTENT}
        self.bytes_an_answer = len(CONTENT)
        self.goes_on = True
        self.starts: list[int] = []
        self.address = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        content = self.files.get(request.path[1:])
        if content is None:
            request.send_error(404)
            return
        asked = re.match(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.goes_on else 0
        if start and start >= len(content):
            request.send_error(416)
            return
        self.starts.append(start)
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        request.wfile.write(content[start : start + self.bytes_an_answer])


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on this computer; weights lie in a folder of the test's own, and ViT-B is a small file."""
    serving = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            serving.answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    monkeypatch.setenv("KNOWSAM_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(download_module, "_CHUNK_BYTES", 10_000)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        serving.address = f"http://127.0.0.1:{http.server_port}"
        publish(monkeypatch, f"{serving.address}/sam.pth")
        yield serving
        http.shutdown()
        thread.join()


def publish(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setitem(OFFICIAL, "vit_b", OfficialWeights("SAM ViT-B", url, SHA256, 1, 1, 0.0, 0.0))


def test_weights_are_downloaded_once_and_progress_is_told(server: Server) -> None:
    told: list[tuple[int, int]] = []
    file = official_weights_file("vit_b", lambda *arrived: told.append(arrived))
    assert file.read_bytes() == CONTENT
    assert [path.name for path in file.parent.iterdir()] == ["sam.pth"]
    assert told[0] == (10_000, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    server.files.clear()
    assert official_weights_file("vit_b") == file


def test_a_connection_that_breaks_off_goes_on_where_it_was(server: Server) -> None:
    server.bytes_an_answer = 100_000
    assert official_weights_file("vit_b").read_bytes() == CONTENT
    assert server.starts == [0, 100_000, 200_000]


def test_a_download_that_was_ended_goes_on_the_next_time(server: Server) -> None:
    def end(arrived: int, size: int) -> None:
        if arrived >= 50_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        official_weights_file("vit_b", end)
    assert not is_intact("vit_b")
    assert official_weights_file("vit_b").read_bytes() == CONTENT
    assert server.starts == [0, 50_000]


def test_a_server_that_begins_anew_is_taken_at_its_word(server: Server) -> None:
    server.goes_on = False
    part = place_of("vit_b").with_name("sam.pth.part")
    part.parent.mkdir()
    part.write_bytes(CONTENT[:70_000])
    assert official_weights_file("vit_b").read_bytes() == CONTENT


@pytest.mark.parametrize("stale", [b"another file" * 100, CONTENT + b"too long"])
def test_what_was_begun_with_another_file_is_downloaded_anew(stale: bytes, server: Server) -> None:
    part = place_of("vit_b").with_name("sam.pth.part")
    part.parent.mkdir()
    part.write_bytes(stale)
    assert official_weights_file("vit_b").read_bytes() == CONTENT


def test_a_server_that_never_gets_on_is_given_up_and_what_came_is_kept(server: Server) -> None:
    server.bytes_an_answer = 0
    place_of("vit_b").parent.mkdir()
    place_of("vit_b").with_name("sam.pth.part").write_bytes(CONTENT[:70_000])
    with pytest.raises(CheckpointError, match="the connection broke off; 0 MB are kept"):
        official_weights_file("vit_b")
    server.bytes_an_answer = len(CONTENT)
    assert official_weights_file("vit_b").read_bytes() == CONTENT
    assert server.starts[-1] == 70_000


@pytest.mark.parametrize(
    ("name", "reason"),
    [("tampered.pth", "what came is not the published file"), ("absent.pth", "the server answered 404, Not Found.")],
)
def test_a_failed_download_tells_how_to_place_the_file_by_hand(
    name: str, reason: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["tampered.pth"] = b"something else"
    publish(monkeypatch, f"{server.address}/{name}")
    target = place_of("vit_b")
    told = (
        reason,
        f"Download {name}",
        f"SHA-256 {SHA256}",
        f"save it as {target}",
        "knowsam models add FILE",
        "--teacher FILE",
    )
    with pytest.raises(CheckpointError, match=".*".join(map(re.escape, told))):
        official_weights_file("vit_b")
    assert not list(target.parent.iterdir())
    target.write_bytes(CONTENT)
    assert official_weights_file("vit_b") == target


def test_no_connection_is_one_sentence_without_the_names_of_classes(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, "http://127.0.0.1:9/sam.pth")
    with pytest.raises(CheckpointError, match=r"downloaded: the server could not be reached\. Download sam\.pth"):
        official_weights_file("vit_b")


def test_a_file_by_hand_that_is_not_the_published_one_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, f"{server.address}/absent.pth")
    target = place_of("vit_b")
    target.parent.mkdir(parents=True)
    target.write_bytes(b"half of the weigh")
    with pytest.raises(CheckpointError, match=r"absent\.pth is not the published file"):
        official_weights_file("vit_b")


def test_a_variant_without_official_weights_is_refused() -> None:
    with pytest.raises(CheckpointError, match="no official weights for compact, only for vit_b, vit_l, vit_h"):
        official_weights_file("compact")


def test_a_file_that_came_another_way_is_told_by_its_checksum(server: Server, tmp_path: Path) -> None:
    stick = tmp_path / "from_a_stick.bin"
    stick.write_bytes(CONTENT)
    assert add_official_weights(stick) == "vit_b"
    assert is_intact("vit_b")
    stick.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match=r"none of the published files sam\.pth, sam_vit_l"):
        add_official_weights(stick)
    assert is_intact("vit_b")
    with pytest.raises(CheckpointError, match="cannot be read"):
        add_official_weights(tmp_path / "missing.pth")


def test_a_file_that_is_no_download_stays_where_it_is(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="another file"):
        download(f"{server.address}/sam.pth", tmp_path / "kept", "0" * 64)
    assert not (tmp_path / "kept").exists()
