"""Official weights arrive whole or not at all, and resume a download; other files are recognised."""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from knowsam.errors import CheckpointError
from knowsam.models import download as download_module
from knowsam.models.download import download
from knowsam.models.official_weights import add_official_weights, is_here, is_intact, official_weights, place_of
from knowsam.models.published_weights import OFFICIAL, PublishedFile

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = bytes(range(256)) * 1000
_PIECE_BYTES = 10_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves `files`; sends at most `bytes_an_answer` of them before it breaks off.

    Attributes
    ----------
    goes_on : whether it can begin in the middle. starts : where each answer began.
    pause_s : after each piece that it sends. redirects : from names to those of `files`.
    """

    def __init__(self) -> None:
        self.files = {"sam.pth": CONTENT}
        self.bytes_an_answer = len(CONTENT)
        self.goes_on = True
        self.pause_s = 0.0
        self.redirects: dict[str, str] = {}
        self.starts: list[int] = []
        self.address = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.path[1:] in self.redirects:
            request.send_response(302)
            request.send_header("Location", f"/{self.redirects[request.path[1:]]}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
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
        with suppress(ConnectionError):
            for begin in range(start, min(start + self.bytes_an_answer, len(content)), _PIECE_BYTES):
                request.wfile.write(content[begin : min(begin + _PIECE_BYTES, start + self.bytes_an_answer)])
                time.sleep(self.pause_s)


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
    monkeypatch.setitem(OFFICIAL, "vit_b", replace(OFFICIAL["vit_b"], files=(PublishedFile(url, SHA256),)))


def test_weights_are_downloaded_once_and_progress_is_reported(server: Server) -> None:
    reported: list[tuple[int, int]] = []
    file = official_weights("vit_b", lambda *arrived: reported.append(arrived))
    assert file.read_bytes() == CONTENT
    assert [path.name for path in file.parent.iterdir()] == ["sam.pth"]
    assert reported[0] == (10_000, len(CONTENT))
    assert reported[-1] == (len(CONTENT), len(CONTENT))
    server.files.clear()
    assert official_weights("vit_b") == file


def test_a_connection_that_breaks_off_goes_on_where_it_was(server: Server) -> None:
    server.bytes_an_answer = 100_000
    assert official_weights("vit_b").read_bytes() == CONTENT
    assert server.starts == [0, 100_000, 200_000]


def test_a_download_that_was_ended_goes_on_the_next_time(server: Server) -> None:
    def end(arrived: int, size: int) -> None:
        if arrived >= 50_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        official_weights("vit_b", end)
    assert not is_intact("vit_b")
    assert official_weights("vit_b").read_bytes() == CONTENT
    assert server.starts == [0, 50_000]


def test_two_who_want_the_same_weights_download_them_once(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(download_module, "_WAITING_S", 0.02)
    server.pause_s = 0.02
    begun = threading.Event()
    reported: list[tuple[int, int]] = []
    with ThreadPoolExecutor() as pool:
        first = pool.submit(official_weights, "vit_b", lambda arrived, size: begun.set())
        assert begun.wait(10)
        second = pool.submit(official_weights, "vit_b", lambda *arrived: reported.append(arrived))
        assert first.result().read_bytes() == second.result().read_bytes() == CONTENT
    assert server.starts == [0]
    assert "sam.pth is being downloaded by another window or command already" in caplog.text
    assert 0 < reported[0][0] < len(CONTENT)
    assert [path.name for path in place_of("vit_b").parent.iterdir()] == ["sam.pth"]


def test_who_waits_goes_on_where_the_first_ends_early(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "_WAITING_S", 0.02)
    begun, waits = threading.Event(), threading.Event()

    def end(arrived: int, size: int) -> None:
        begun.set()
        if arrived >= 50_000:
            assert waits.wait(10)
            raise KeyboardInterrupt

    with ThreadPoolExecutor() as pool:
        first = pool.submit(official_weights, "vit_b", end)
        assert begun.wait(10)
        second = pool.submit(official_weights, "vit_b", lambda arrived, size: waits.set())
        assert second.result().read_bytes() == CONTENT
        assert isinstance(first.exception(), KeyboardInterrupt)
    assert server.starts == [0, 50_000]


def test_who_waits_for_another_download_can_end_that(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "_WAITING_S", 0.02)

    def end(arrived: int, size: int) -> None:
        raise KeyboardInterrupt

    with download_module.alone(place_of("vit_b")), ThreadPoolExecutor() as pool:
        assert isinstance(pool.submit(official_weights, "vit_b", end).exception(), KeyboardInterrupt)
    assert server.starts == []


def test_a_process_that_died_while_it_downloaded_blocks_nobody(server: Server) -> None:
    lock = place_of("vit_b").with_name("sam.pth.lock")
    lock.parent.mkdir()
    dying = "import os, sys; from filelock import FileLock; FileLock(sys.argv[1]).acquire(); os._exit(1)"
    subprocess.run([sys.executable, "-c", dying, str(lock)], check=False)
    assert lock.is_file()
    assert official_weights("vit_b").read_bytes() == CONTENT


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("fault", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("no flock")])
def test_a_folder_without_locks_takes_a_download_with_a_warning(
    fault: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(download_module.FileLock, "acquire", refuse)
    assert official_weights("vit_b").read_bytes() == CONTENT
    assert "knows no locks" in caplog.text


def test_a_server_that_begins_anew_is_taken_at_its_word(server: Server) -> None:
    server.goes_on = False
    part = place_of("vit_b").with_name("sam.pth.part")
    part.parent.mkdir()
    part.write_bytes(CONTENT[:70_000])
    assert official_weights("vit_b").read_bytes() == CONTENT


@pytest.mark.parametrize("stale", [b"another file" * 100, CONTENT + b"too long"])
def test_what_was_begun_with_another_file_is_downloaded_anew(stale: bytes, server: Server) -> None:
    part = place_of("vit_b").with_name("sam.pth.part")
    part.parent.mkdir()
    part.write_bytes(stale)
    assert official_weights("vit_b").read_bytes() == CONTENT


def test_a_server_that_never_gets_on_is_given_up_and_what_came_is_kept(server: Server) -> None:
    server.bytes_an_answer = 0
    place_of("vit_b").parent.mkdir()
    place_of("vit_b").with_name("sam.pth.part").write_bytes(CONTENT[:70_000])
    with pytest.raises(CheckpointError, match="the connection broke off; 0 MB are kept"):
        official_weights("vit_b")
    server.bytes_an_answer = len(CONTENT)
    assert official_weights("vit_b").read_bytes() == CONTENT
    assert server.starts[-1] == 70_000


@pytest.mark.parametrize(
    ("name", "reason"),
    [("tampered.pth", "what came is not the published file"), ("absent.pth", "the server answered 404, Not Found.")],
)
def test_a_failed_download_explains_how_to_place_the_file_by_hand(
    name: str, reason: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["tampered.pth"] = b"something else"
    publish(monkeypatch, f"{server.address}/{name}")
    target = place_of("vit_b")
    reported = (
        reason,
        f"Download {name}",
        f"SHA-256 {SHA256}",
        f"save it as {target}",
        "knowsam models add FILE",
        "--teacher FILE",
    )
    with pytest.raises(CheckpointError, match=".*".join(map(re.escape, reported))):
        official_weights("vit_b")
    (left,) = target.parent.iterdir()
    assert left.suffix == ".lock"
    assert left.stat().st_mode & 0o666 == 0o666, "others who share the folder cannot take the lock"
    target.write_bytes(CONTENT)
    assert official_weights("vit_b") == target


def test_no_connection_is_one_sentence_without_the_names_of_classes(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, "http://127.0.0.1:9/sam.pth")
    with pytest.raises(CheckpointError, match=r"downloaded: the server could not be reached\. Download sam\.pth"):
        official_weights("vit_b")


def test_a_file_by_hand_that_is_not_the_published_one_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, f"{server.address}/absent.pth")
    target = place_of("vit_b")
    target.parent.mkdir(parents=True)
    target.write_bytes(b"half of the weigh")
    with pytest.raises(CheckpointError, match=r"absent\.pth is not the published file"):
        official_weights("vit_b")


def test_a_variant_without_official_weights_is_refused() -> None:
    with pytest.raises(
        CheckpointError, match="no official weights for compact, only for vit_b, vit_l, vit_h, mobile_sam, sam2"
    ):
        official_weights("compact")


def test_a_file_that_came_another_way_is_recognised_by_its_checksum(server: Server, tmp_path: Path) -> None:
    stick = tmp_path / "from_a_stick.bin"
    stick.write_bytes(CONTENT)
    assert add_official_weights(stick) == "vit_b"
    assert is_intact("vit_b")
    stick.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match=r"which none of sam\.pth, sam_vit_l.* has"):
        add_official_weights(stick)
    assert is_intact("vit_b")
    with pytest.raises(CheckpointError, match="cannot be read"):
        add_official_weights(tmp_path / "missing.pth")


def test_a_copy_that_does_not_arrive_whole_takes_no_place(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stick = tmp_path / "from_a_stick.bin"
    stick.write_bytes(CONTENT)
    with monkeypatch.context() as failing:
        failing.setattr(shutil, "copyfile", lambda _, copied: copied.write_bytes(CONTENT[:-1]))
        with pytest.raises(CheckpointError, match=r"is a copy of vit_b, but what arrived in .* is not"):
            add_official_weights(stick)
    assert not is_here("vit_b")
    assert not download_module.part_of(place_of("vit_b")).exists()
    add_official_weights(stick)
    assert is_intact("vit_b")


def test_a_file_that_is_whole_by_now_is_not_copied_again(server: Server, tmp_path: Path) -> None:
    stick = tmp_path / "from_a_stick.bin"
    stick.write_bytes(CONTENT)
    add_official_weights(stick)
    before = place_of("vit_b").stat()
    add_official_weights(stick)
    after = place_of("vit_b").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


REVISION = "facebook/sam2.1-hiera-tiny/resolve/0123"


@pytest.fixture
def hub(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The same server as a mirror of the hub, with a SAM 2.1 tiny whose folder holds two small files."""
    contents = {"config.json": b"{}", "model.safetensors": CONTENT}
    files = [
        PublishedFile(f"https://huggingface.co/{REVISION}/{name}", hashlib.sha256(content).hexdigest())
        for name, content in contents.items()
    ]
    server.files |= {f"{REVISION}/{name}": content for name, content in contents.items()}
    monkeypatch.setenv("HF_ENDPOINT", f"{server.address}/")
    name = "sam2.1-hiera-tiny"
    monkeypatch.setitem(OFFICIAL, name, replace(OFFICIAL[name], files=tuple(files)))
    return server


def test_a_folder_comes_from_the_mirror_of_the_hub_that_the_environment_names(hub: Server) -> None:
    assert not is_here("sam2")
    folder = official_weights("sam2")
    assert folder == place_of("sam2.1-hiera-tiny") == place_of("sam2")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "config.json": b"{}",
        "model.safetensors": CONTENT,
    }
    hub.files.clear()
    assert official_weights("sam2.1-hiera-tiny") == folder


@pytest.mark.usefixtures("hub")
def test_a_mirror_without_a_protocol_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "mirror.example")
    with pytest.raises(CheckpointError, match=r"HF_ENDPOINT is mirror\.example, but .* https://mirror\.example was"):
        official_weights("sam2")
    # Only the hub has mirrors.
    assert official_weights("vit_b").read_bytes() == CONTENT


def test_a_folder_that_was_ended_is_completed_the_next_time(hub: Server) -> None:
    def end(arrived: int, size: int) -> None:
        if arrived >= 50_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        official_weights("sam2", end)
    assert not is_here("sam2")
    assert official_weights("sam2").is_dir()
    assert is_intact("sam2")
    assert hub.starts == [0, 0, 50_000]


def test_a_slow_download_ends_when_somebody_ends_it(hub: Server) -> None:
    hub.pause_s = 0.05
    reported: list[int] = []

    def end(arrived: int, size: int) -> None:
        reported.append(arrived)
        if arrived > 30_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        official_weights("sam2", end)
    assert reported == [2, 10_000, 20_000, 30_000, 40_000]


def test_a_large_file_to_which_the_hub_leads_elsewhere_goes_on_there_where_it_broke_off(hub: Server) -> None:
    name = f"{REVISION}/model.safetensors"
    hub.files["storage"], hub.redirects[name] = hub.files.pop(name), "storage"
    hub.bytes_an_answer = 100_000
    official_weights("sam2")
    assert is_intact("sam2")
    assert hub.starts == [0, 0, 100_000, 200_000]


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        (
            {f"{REVISION}/config.json": b"{}", f"{REVISION}/model.safetensors": b"wrong"},
            "what came is not the published",
        ),
        ({f"{REVISION}/config.json": b"{}"}, "the server answered 404, Not Found"),
        ({}, "the server answered 404, Not Found"),
    ],
)
def test_a_folder_that_cannot_be_downloaded_explains_how_to_place_its_files_by_hand(
    served: dict[str, bytes], reason: str, hub: Server, tmp_path: Path
) -> None:
    hub.files = served
    reported = (
        f"SAM 2.1 tiny could not be downloaded: {reason}",
        f"Download config.json (https://huggingface.co/{REVISION}/config.json, SHA-256",
        f"save them in {place_of('sam2')}",
        "knowsam models add FOLDER",
    )
    with pytest.raises(CheckpointError, match=".*".join(map(re.escape, reported))):
        official_weights("sam2")
    assert not is_here("sam2")


def test_a_folder_that_came_another_way_is_recognised_by_its_checksums(hub: Server, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "config.json").write_bytes(b"{}")
    with pytest.raises(CheckpointError, match=r"cannot be read.*No such file"):
        add_official_weights(stick)
    (stick / "model.safetensors").write_bytes(CONTENT)
    assert add_official_weights(stick) == "sam2.1-hiera-tiny"
    assert is_intact("sam2")
    (stick / "config.json").write_bytes(b"{ }")
    with pytest.raises(CheckpointError, match=f"has the SHA-256 .* and {SHA256}, which none of .*sam2.1-hiera-tiny"):
        add_official_weights(stick)


def test_every_published_file_has_an_address_of_its_own_and_a_whole_checksum() -> None:
    files = [file for found in OFFICIAL.values() for file in found.files]
    assert len({file.url for file in files}) == len({file.sha256 for file in files}) == len(files)
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in files)
    of_the_hub = [file.url for file in files if "huggingface" in file.url]
    assert all(re.search("/resolve/[0-9a-f]{40}/", url) for url in of_the_hub)


def test_a_file_that_is_no_download_stays_where_it_is(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="another file"):
        download(f"{server.address}/sam.pth", tmp_path / "kept", "0" * 64)
    assert not (tmp_path / "kept").exists()
