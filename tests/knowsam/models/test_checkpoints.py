from __future__ import annotations

import hashlib
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file

from knowsam.errors import CheckpointError
from knowsam.models.checkpoints import OFFICIAL, OfficialWeights, load_sam_weights, official_weights_file, variant_of
from knowsam.models.sam import VARIANTS, build_sam

if TYPE_CHECKING:
    from collections.abc import Iterator

WEIGHTS = {"image_encoder.pos_embed": torch.arange(8.0).view(1, 2, 2, 2), "mask_decoder.bias": torch.ones(3)}


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which it is served; downloads go to a cache of the test's own."""
    folder = tmp_path / "published"
    folder.mkdir()
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=folder)) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_official_weights_are_downloaded_once(server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, address = server
    published = folder / "sam_small.pth"
    published.write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    monkeypatch.setitem(OFFICIAL, "vit_b", OfficialWeights(f"{address}/sam_small.pth", sha256))
    downloaded = official_weights_file("vit_b")
    published.unlink()
    assert official_weights_file("vit_b") == downloaded
    assert (downloaded.name, downloaded.read_bytes()) == ("sam_small.pth", b"weights")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("tampered.pth", "what came is not the published file"), ("absent.pth", "the server could not be reached")],
)
def test_a_failed_download_tells_how_to_place_the_file_by_hand(
    name: str, reason: str, server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = server
    (folder / "tampered.pth").write_bytes(b"something else")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    monkeypatch.setitem(OFFICIAL, "vit_b", OfficialWeights(f"{address}/{name}", sha256))
    target = folder.parent / "cache" / "napari-knowsam" / name
    told = (f"{reason}. Download {name}", f"SHA-256 {sha256}", f"save it as {target}", "--teacher FILE")
    with pytest.raises(CheckpointError, match=".*".join(map(re.escape, told))):
        official_weights_file("vit_b")
    target.write_bytes(b"weights")
    assert official_weights_file("vit_b") == target


def test_no_connection_is_one_sentence_without_the_names_of_classes(
    server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OFFICIAL, "vit_b", OfficialWeights("http://127.0.0.1:9/sam.pth", "0" * 64))
    with pytest.raises(CheckpointError, match=r"downloaded: the server could not be reached\. Download sam\.pth"):
        official_weights_file("vit_b")


def test_a_file_by_hand_that_is_not_the_published_one_is_named(
    server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = server
    target = folder.parent / "cache" / "napari-knowsam" / "sam.pth"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"half of the weigh")
    monkeypatch.setitem(OFFICIAL, "vit_b", OfficialWeights(f"{address}/sam.pth", "0" * 64))
    with pytest.raises(CheckpointError, match=r"sam\.pth is not the published file"):
        official_weights_file("vit_b")


def test_a_variant_without_official_weights_is_refused() -> None:
    with pytest.raises(CheckpointError, match="no official weights for compact, only for vit_b, vit_l, vit_h"):
        official_weights_file("compact")


@pytest.mark.parametrize("content", [WEIGHTS, {"model": WEIGHTS}, {"state_dict": WEIGHTS}])
def test_weights_are_read_wrapped_or_not(content: dict[str, Any], tmp_path: Path) -> None:
    torch.save(content, tmp_path / "sam.pth")
    weights = load_sam_weights(tmp_path / "sam.pth")
    assert weights.keys() == WEIGHTS.keys()
    assert all(torch.equal(weights[name], WEIGHTS[name]) for name in WEIGHTS)


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "sam.safetensors")
    weights = load_sam_weights(tmp_path / "sam.safetensors")
    assert all(torch.equal(weights[name], WEIGHTS[name]) for name in WEIGHTS)


class _Touch:
    """Creates a file when it is unpickled by a reader that executes what it reads."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.path,)


def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"model": _Touch(tmp_path / "executed")}, tmp_path / "sam.pth")
    with pytest.raises(CheckpointError, match="it holds more than tensors, or is no file of PyTorch") as error:
        load_sam_weights(tmp_path / "sam.pth")
    assert "weights_only" not in str(error.value)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "absent"])
def test_a_damaged_file_is_refused_with_a_remedy(suffix: str, damage: str, tmp_path: Path) -> None:
    path = tmp_path / f"sam{suffix}"
    if suffix == ".pth":
        torch.save(WEIGHTS, path)
    else:
        save_file(WEIGHTS, path)
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[: len(whole) // 2], "text": b"not found", "empty": b""}.get(damage, whole))
    if damage == "absent":
        path.unlink()
    with pytest.raises(CheckpointError, match="Give an undamaged file"):
        load_sam_weights(path)


@pytest.mark.parametrize("packed", [True, False], ids=["zip", "legacy"])
def test_a_flipped_bit_in_a_pickled_file_raises_nothing_but_our_own_error(packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "sam.pth"
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=packed)
    good, refused = path.read_bytes(), 0
    for place in range(0, len(good), 3):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1 :])
        try:
            weights = load_sam_weights(path)
        except CheckpointError:
            refused += 1
        else:
            # Only a packed file has checksums by which a changed weight shows.
            assert not packed or all(torch.equal(weights[name], WEIGHTS[name]) for name in WEIGHTS)
    assert refused > len(good) / 9


@pytest.mark.parametrize(
    ("content", "found"),
    [({"epoch": 3} | WEIGHTS, "entries of type int"), (torch.ones(2), "a Tensor"), ([1], "a list")],
)
def test_a_file_of_other_things_is_refused(content: Any, found: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "sam.pth")
    with pytest.raises(CheckpointError, match=f"holds {found}, expected named tensors only"):
        load_sam_weights(tmp_path / "sam.pth")


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_a_variant_is_recognised_by_its_image_encoder(name: str) -> None:
    with torch.device("meta"):
        weights = build_sam(VARIANTS[name], (64, 64)).state_dict()
    assert variant_of(weights) == name


def test_weights_of_no_official_variant_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"width 96 with 2 blocks, expected 768 and 12 \(vit_b\)"):
        variant_of(build_sam(VARIANTS["compact"], (64, 64)).state_dict())
    with pytest.raises(CheckpointError, match="width 0 with 0 blocks"):
        variant_of({"weight": torch.ones(1)})
    with pytest.raises(CheckpointError, match="width 0 with 0 blocks"):
        variant_of({"image_encoder.pos_embed": torch.tensor(1.0)})
