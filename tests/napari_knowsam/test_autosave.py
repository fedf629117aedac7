"""What was painted is kept while a person works, offered when the image is opened again, and never lost on the way."""

from __future__ import annotations

import logging
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from painted import AXIAL, LIVER, again, fill, square
from qtpy.QtWidgets import QAbstractButton, QLabel

from knowsam.data.annotation import LabelClass, SliceState
from knowsam.data.volume import Grid, Volume
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.kept_files import fingerprint
from knowsam.document.snapshot_file import read_snapshot
from knowsam.training import continuation
from napari_knowsam import autosave as autosave_module
from napari_knowsam import save_file, status_messages
from napari_knowsam.autosave import INTERVAL_MS, Autosave
from napari_knowsam.dock_widget import KnowSAMWidget
from napari_knowsam.volume_layers import image_layer_data

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from napari_knowsam.presenter import Presenter

pytestmark = pytest.mark.usefixtures("qapp")

CORONAL = 1
NAME = "Mustermann^Erika"


@pytest.fixture
def folder(autosave_folder: Path) -> Path:
    return autosave_folder


@pytest.fixture
def named(tiny: Volume) -> Volume:
    return Volume(tiny.array, tiny.grid, NAME)


@pytest.fixture
def document(named: Volume, classes: tuple[LabelClass, ...]) -> AnnotationDocument:
    return AnnotationDocument(named, AXIAL, classes)


def session(folder: Path, document: AnnotationDocument) -> Autosave:
    """Begin to work on a document."""
    kept = Autosave(folder)
    kept.watch(document)
    return kept


def save(folder: Path, document: AnnotationDocument, work: Callable[[AnnotationDocument], object] = fill) -> None:
    """Do some work on a document, and end."""
    kept = session(folder, document)
    work(document)
    kept.close()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_signal_that_ends_napari_leaves_the_work_saved(document: AnnotationDocument, folder: Path) -> None:
    found: list[list[str]] = []
    before = signal.signal(signal.SIGTERM, lambda *_: found.append(files(folder)))
    try:
        kept = session(folder, document)
        fill(document)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert found == [[f"{fingerprint(document.volume)}.npz"]]
    kept.close()


def test_a_file_holds_neither_the_name_of_the_image_nor_its_voxels(document: AnnotationDocument, folder: Path) -> None:
    save(folder, document)
    (path,) = folder.iterdir()
    with np.load(path, allow_pickle=False) as arrays:
        data = path.name.encode() + b"".join(arrays[name].tobytes() for name in arrays)
        assert "liver" in str(arrays["about"])
    # Text in arrays has four bytes a letter.
    for word in (NAME, "Mustermann", "tiny", str(folder)):
        assert word.encode() not in data + path.read_bytes()
        assert word.encode("utf-32-le") not in data
    assert document.volume.array[3, 4].tobytes() not in data


def test_work_is_offered_in_the_next_session(document: AnnotationDocument, folder: Path) -> None:
    save(folder, document)
    offers: list[str] = []
    kept = Autosave(folder)
    kept.offered.connect(offers.append)
    kept.watch(again(document))
    when = document.snapshot().taken_at
    assert offers[-1].startswith(f"You painted 4 slices of this image on {when.day} ")
    assert kept.offer is not None
    assert kept.offer.annotated == (1, 3, 4, 5)
    kept.close()


def test_nothing_is_offered_where_it_is_there_already(document: AnnotationDocument, folder: Path) -> None:
    save(folder, document)
    new = again(document, *document.classes[1:])
    fill(new)
    new.paint({0: square(LIVER)})
    kept = session(folder, new)
    assert kept.offer is None
    kept.close()


def test_nothing_is_offered_for_another_image(document: AnnotationDocument, folder: Path) -> None:
    save(folder, document)
    other = document.volume.array.copy()
    other[2, 3, 4] += 1
    kept = session(folder, AnnotationDocument(Volume(other, document.volume.grid, NAME), AXIAL, document.classes))
    assert kept.offer is None
    kept.close()


def test_a_declined_offer_is_not_made_again_in_this_session(document: AnnotationDocument, folder: Path) -> None:
    save(folder, document)
    new = again(document)
    kept = session(folder, new)
    kept.settle()
    assert kept.offer is None
    kept.watch(None)
    kept.watch(new)
    assert kept.offer is None
    kept.close()
    later = session(folder, again(document))
    assert later.offer is not None
    later.close()


def test_an_unanswered_offer_survives_new_work_on_the_image(document: AnnotationDocument, folder: Path) -> None:
    save(folder, document)
    save(folder, again(document), lambda new: new.paint({0: square(1)}))
    name = fingerprint(document.volume)
    assert files(folder) == [f"{name}.npz", f"{name}.previous.npz"]
    kept = session(folder, again(document))
    assert kept.offer is not None
    assert kept.offer.annotated == (0,)
    kept.settle()
    assert kept.offer is not None
    assert kept.offer.annotated == (1, 3, 4, 5)
    kept.close()


def test_offers_that_are_never_answered_are_all_kept(document: AnnotationDocument, folder: Path) -> None:
    save(folder, document)
    for index in (0, 2):
        save(folder, again(document), lambda new, index=index: new.paint({index: square(1)}))
    name = fingerprint(document.volume)
    assert files(folder) == [f"{name}.npz", f"{name}.previous-2.npz", f"{name}.previous.npz"]
    kept = session(folder, again(document))
    offers = []
    while kept.offer is not None:
        offers.append(kept.offer.annotated)
        kept.settle()
    assert offers == [(2,), (0,), (1, 3, 4, 5)]
    kept.close()


def test_work_that_holds_what_was_set_aside_takes_its_place(document: AnnotationDocument, folder: Path) -> None:
    save(folder, again(document), lambda new: new.paint({0: square(1)}))
    save(folder, again(document), lambda new: new.paint({2: square(1)}))
    save(folder, again(document), lambda new: new.paint({0: square(1), 2: square(1)}))
    save(folder, again(document), lambda new: new.paint({4: square(1)}))
    name = fingerprint(document.volume)
    assert files(folder) == [f"{name}.npz", f"{name}.previous.npz"]
    assert read_snapshot(folder / f"{name}.previous.npz", document.volume.shape).annotated == (0, 2)


def test_a_second_damaged_file_does_not_replace_the_first(document: AnnotationDocument, folder: Path) -> None:
    folder.mkdir(parents=True)
    path = folder / f"{fingerprint(document.volume)}.npz"
    for content in (b"one", b"two"):
        path.write_bytes(content)
        save(folder, again(document), lambda new: new.paint({0: square(1)}))
    assert path.with_suffix(".damaged.npz").read_bytes() == b"one"
    assert path.with_suffix(".damaged-2.npz").read_bytes() == b"two"


def test_work_from_which_everything_was_erased_leaves_what_was_saved(
    document: AnnotationDocument, folder: Path
) -> None:
    kept = session(folder, document)
    document.paint({1: square(LIVER)})
    kept.save()
    document.undo()
    kept.close()
    later = session(folder, again(document))
    assert later.offer is not None
    assert later.offer.annotated == (1,)
    later.close()


def test_nothing_is_written_while_nothing_changes(document: AnnotationDocument, folder: Path) -> None:
    fill(document)
    kept = session(folder, document)
    kept.save()
    kept.close()
    assert not folder.exists()


def test_work_is_saved_before_another_image_is_shown(
    document: AnnotationDocument, folder: Path, phantom: Volume
) -> None:
    kept = session(folder, document)
    document.paint({1: square(LIVER)})
    kept.watch(AnnotationDocument(phantom, AXIAL, document.classes))
    kept.close()
    assert files(folder) == [f"{fingerprint(document.volume)}.npz"]


def test_work_is_saved_every_now_and_then(document: AnnotationDocument, folder: Path, qtbot: QtBot) -> None:
    kept = Autosave(folder)
    assert kept._due.interval() == INTERVAL_MS == 1_000
    kept._due.setInterval(10)
    kept.watch(document)
    document.paint({1: square(LIVER)})
    name = f"{fingerprint(document.volume)}.npz"
    qtbot.waitUntil(lambda: folder.exists() and files(folder) == [name], timeout=30_000)
    kept.close()


def test_a_damaged_file_is_logged_and_kept(
    document: AnnotationDocument, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir(parents=True)
    path = folder / f"{fingerprint(document.volume)}.npz"
    path.write_bytes(b"something else")
    with caplog.at_level(logging.WARNING):
        kept = session(folder, document)
    assert kept.offer is None
    assert path.name in caplog.text
    document.paint({1: square(LIVER)})
    kept.close()
    damaged = path.with_suffix(".damaged.npz")
    assert damaged.read_bytes() == b"something else"
    assert files(folder) == [damaged.name, path.name]


def test_a_folder_that_cannot_be_written_is_reported_once(
    document: AnnotationDocument, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a file").touch()
    kept = session(tmp_path / "a file" / "autosave", document)
    problems: list[str] = []
    kept.problem.connect(problems.append)
    for index in range(3):
        document.paint({index: square(LIVER)})
        kept.save()
    kept.close()
    assert len(problems) == 1
    assert "You can go on; export or save the labels" in problems[0]
    assert caplog.text.count("cannot be saved") == 1


def test_what_could_not_be_saved_is_tried_again(document: AnnotationDocument, tmp_path: Path) -> None:
    blocked = tmp_path / "autosave"
    blocked.touch()
    kept = session(blocked, document)
    document.paint({1: square(LIVER)})
    kept.save()
    kept._wait()
    blocked.unlink()
    kept.close()
    assert files(blocked) == [f"{fingerprint(document.volume)}.npz"]


def test_what_could_not_be_saved_is_tried_again_when_its_image_is_chosen_again(
    document: AnnotationDocument, tmp_path: Path
) -> None:
    blocked = tmp_path / "autosave"
    blocked.touch()
    kept = session(blocked, document)
    document.paint({1: square(LIVER)})
    kept.save_at_once()
    kept.watch(None)
    blocked.unlink()
    kept.watch(document)
    kept.close()
    assert files(blocked) == [f"{fingerprint(document.volume)}.npz"]


def test_two_windows_on_one_image_warn_and_overwrite_nothing(document: AnnotationDocument, folder: Path) -> None:
    problems: list[str] = []
    first, other = session(folder, document), again(document, *document.classes[1:])
    second = Autosave(folder)
    second.problem.connect(problems.append)
    second.watch(other)
    second.watch(other)
    assert problems == [autosave_module.OPEN_TWICE]
    for index in range(3):
        document.paint({index: square(LIVER)})
        first.save_at_once()
        other.paint({5 - index: square(LIVER)})
        second.save_at_once()
    first.close()
    second.close()
    name = fingerprint(document.volume)
    assert files(folder) == [f"{name}.2.npz", f"{name}.npz"]
    assert read_snapshot(folder / f"{name}.npz", document.volume.shape).annotated == (0, 1, 2)
    assert read_snapshot(folder / f"{name}.2.npz", document.volume.shape).annotated == (3, 4, 5)
    problems.clear()
    third = Autosave(folder)
    third.problem.connect(problems.append)
    third.watch(again(document))
    assert problems == []
    assert third.offer is not None
    third.close()


def test_a_window_that_crashed_keeps_nobody_from_its_file(document: AnnotationDocument, folder: Path) -> None:
    lock = folder.with_name("open") / f"{fingerprint(document.volume)}.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text(f"{_ended_process()}\nnapari\n{platform.node()}\n", encoding="utf-8")
    kept = session(folder, document)
    fill(document)
    kept.close()
    assert files(folder) == [f"{fingerprint(document.volume)}.npz"]


def _ended_process() -> int:
    """Return the number of a process that is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_files_nobody_came_back_to_for_two_months_go_when_one_is_written(
    document: AnnotationDocument, folder: Path
) -> None:
    folder.mkdir(parents=True)
    old, young = time.time() - 61 * 86_400, time.time() - 59 * 86_400
    own = f"{fingerprint(document.volume)}.previous.npz"
    stays = {f"{'b' * 32}.npz": young, "thesis.npz": old, own: old}
    goes = [f"{'a' * 32}.npz", f"{'c' * 32}.previous.npz", f"{'c' * 32}.previous-2.npz", f"{'d' * 32}.damaged-3.npz"]
    for name, changed in (stays | dict.fromkeys(goes, old)).items():
        (folder / name).touch()
        os.utime(folder / name, (changed, changed))
    save(folder, document)
    assert files(folder) == sorted([*stays, f"{fingerprint(document.volume)}.npz"])


def learnt_by(document: AnnotationDocument, folder: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paint and train in a session, and leave `content` as what was learnt."""
    monkeypatch.setattr(continuation, "write_continuation", lambda path, _: path.write_bytes(content))
    kept = session(folder, document)
    fill(document)
    kept.keeper(document)(None)  # type: ignore[arg-type]
    kept.close()
    # Too late, and without harm.
    kept.keeper(document)(None)  # type: ignore[arg-type]


def test_a_training_that_ends_after_the_panel_was_closed_is_dropped_without_a_word(
    document: AnnotationDocument, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = session(folder, document)
    keep = kept.keeper(document)
    kept.close()
    keep(None)  # type: ignore[arg-type]
    assert not caplog.records


def test_the_model_is_kept_beside_the_painting_and_offered_with_it(
    document: AnnotationDocument, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt_by(document, folder, b"weights", monkeypatch)
    name = fingerprint(document.volume)
    assert files(folder) == [f"{name}.npz", f"{name}.training.safetensors"]
    offers: list[str] = []
    kept = Autosave(folder)
    kept.offered.connect(offers.append)
    kept.watch(again(document))
    assert offers[-1].endswith(". What was learnt from them is kept, too.")
    path = kept.settle()
    assert path is not None
    assert path.read_bytes() == b"weights"
    assert kept.settle() is None
    kept.close()


def test_a_model_that_cannot_be_saved_is_reported(
    document: AnnotationDocument, folder: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(continuation, "write_continuation", fail)
    kept = session(folder, document)
    with qtbot.waitSignal(kept.problem) as problem:
        kept.keeper(document)(None)  # type: ignore[arg-type]
    assert problem.args is not None
    assert "What is learnt should be saved in" in problem.args[0]
    assert "(Permission denied). You can go on; save the model" in problem.args[0]
    kept.close()


def test_another_training_sets_the_model_before_aside(
    document: AnnotationDocument, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt_by(document, folder, b"before", monkeypatch)
    learnt_by(again(document, *document.classes[1:]), folder, b"after", monkeypatch)
    name = fingerprint(document.volume)
    assert (folder / f"{name}.training.safetensors").read_bytes() == b"after"
    assert (folder / f"{name}.previous.training.safetensors").read_bytes() == b"before"


def test_the_model_before_is_offered_if_nothing_could_be_written_in_its_place(
    document: AnnotationDocument, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt_by(document, folder, b"before", monkeypatch)
    monkeypatch.setattr(continuation, "write_continuation", lambda *_: None)
    killed = session(folder, document)
    killed.keeper(document)(None)  # type: ignore[arg-type]
    killed.close()
    name = fingerprint(document.volume)
    assert files(folder) == [f"{name}.npz", f"{name}.previous.training.safetensors"]
    kept = Autosave(folder)
    kept.watch(again(document))
    assert kept.settle() == folder / f"{name}.previous.training.safetensors"
    kept.close()


def test_the_oldest_model_goes_before_there_is_too_much_and_no_painting_does(
    document: AnnotationDocument, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(save_file, "MOST_KEPT_BYTES", 250)
    for age, letter in enumerate("abcd"):
        for suffix in (".npz", ".training.safetensors"):
            path = folder / f"{32 * letter}{suffix}"
            path.write_bytes(bytes(60))
            os.utime(path, (time.time() - 100 * age,) * 2)
    save(folder, document)
    left = [name for name in files(folder) if not name.startswith(fingerprint(document.volume))]
    assert left == sorted([*(f"{32 * c}.npz" for c in "abcd"), *(f"{32 * c}.training.safetensors" for c in "ab")])


def test_a_fingerprint_distinguishes_images_but_not_their_names(tiny: Volume) -> None:
    other = tiny.array.copy()
    other[0, 0, 0] += 1
    shifted = tiny.grid.affine.copy()
    shifted[0, 3] += 0.001
    prints = {
        fingerprint(volume)
        for volume in (
            tiny,
            Volume(other, tiny.grid),
            Volume(tiny.array.astype(np.int32), tiny.grid),
            Volume(tiny.array, Grid(tiny.grid.shape, shifted)),
        )
    }
    assert len(prints) == 4
    nudged = tiny.grid.affine + 1e-6
    nudged[3] = (0, 0, 0, 1)
    assert fingerprint(Volume(tiny.array.copy(order="F"), Grid(tiny.grid.shape, nudged), NAME)) == fingerprint(tiny)


def open_image(volume: Volume) -> tuple[ViewerModel, KnowSAMWidget]:
    """Open the image in a new viewer, with the panel beside it."""
    viewer = ViewerModel()
    data, kwargs, _ = image_layer_data(volume)
    viewer.add_layer(Image(data, **kwargs))
    return viewer, KnowSAMWidget(viewer)


def presenter_of(widget: KnowSAMWidget) -> Presenter:
    assert widget.presenter is not None
    return widget.presenter


def change(widget: KnowSAMWidget, action: Callable[..., Any], *values: object) -> None:
    """Do something to the document of the chosen image."""
    sync = presenter_of(widget).layers.sync
    assert sync is not None
    sync.change(action, *values)


def add_spleen(document: AnnotationDocument) -> None:
    document.class_list.add("spleen")


def labels_of(viewer: ViewerModel) -> Labels:
    return next(layer for layer in viewer.layers if layer.name.endswith(" labels"))


def offered(widget: KnowSAMWidget) -> str:
    """What the panel offers to restore; empty if it shows no offer."""
    offer = widget.annotate.offer
    return "" if offer.isHidden() else offer.findChild(QLabel).text()


def press(widget: KnowSAMWidget, text: str) -> None:
    next(one for one in widget.annotate.offer.findChildren(QAbstractButton) if one.text() == text).click()


@pytest.fixture
def crashed(folder: Path, named: Volume) -> Iterator[Path]:
    """Two slices were painted, one of them in a second class, and napari was gone before anything was closed."""
    viewer, widget = open_image(named)
    layers = presenter_of(widget).layers
    change(widget, add_spleen)
    labels_of(viewer).data[1, 2:5, 2:5] = 1
    labels_of(viewer).data[3, 2:5, 2:5] = 2
    layers.flush()
    autosave = presenter_of(widget).autosave
    autosave.save()
    autosave._wait()
    yield folder
    widget.close_presenter()


def test_after_a_crash_the_painting_is_offered_and_restored_and_can_be_undone(crashed: Path, tiny: Volume) -> None:
    viewer, widget = open_image(tiny)
    assert offered(widget).startswith("You painted 2 slices of this image on ")
    assert not labels_of(viewer).data.any()
    press(widget, "Restore")
    document = presenter_of(widget).layers.document
    assert document is not None
    assert document.annotated == (1, 3)
    assert [one.name for one in document.classes] == ["background", "class 1", "spleen"]
    assert (labels_of(viewer).data[3, 2:5, 2:5] == 2).all()
    assert offered(widget) == ""
    assert not any(layer.name.endswith(" prediction") for layer in viewer.layers)
    said = widget.train.bar._message
    assert said.text().endswith(status_messages.PROPAGATING)
    change(widget, AnnotationDocument.undo)
    change(widget, AnnotationDocument.undo)
    assert not labels_of(viewer).data.any()
    assert said.text() == status_messages.READY
    change(widget, AnnotationDocument.redo)
    assert labels_of(viewer).data[1].sum() == 9
    widget.close_presenter()


def test_an_offer_that_is_not_wanted_goes(crashed: Path, tiny: Volume) -> None:
    viewer, widget = open_image(tiny)
    press(widget, "Not now")
    assert offered(widget) == ""
    assert not labels_of(viewer).data.any()
    widget.close_presenter()


def test_an_offer_goes_with_its_image(crashed: Path, tiny: Volume) -> None:
    viewer, widget = open_image(tiny)
    assert offered(widget)
    viewer.layers.clear()
    assert offered(widget) == ""
    widget.close_presenter()


def test_restored_corrections_are_seen(folder: Path, document: AnnotationDocument) -> None:
    save(folder, document)
    viewer, widget = open_image(document.volume)
    press(widget, "Restore")
    prediction = next(layer for layer in viewer.layers if layer.name.endswith(" prediction"))
    np.testing.assert_array_equal(prediction.data[5], square(LIVER, 4))
    widget.close_presenter()


@pytest.fixture
def closed(named: Volume, qtbot: QtBot) -> Callable[[], tuple[ViewerModel, KnowSAMWidget]]:
    """Correct a slice of an image, and remove the image from the viewer."""

    def close() -> tuple[ViewerModel, KnowSAMWidget]:
        viewer, widget = open_image(named)
        change(widget, lambda work: work.correct({5: square(1, 4)}))
        sync = presenter_of(widget).layers.sync
        assert sync is not None
        sync.layers.show_live()
        viewer.layers.remove(NAME)
        qtbot.waitUntil(lambda: "stays" in widget.annotate._message.text())
        return viewer, widget

    return close


def reopen(viewer: ViewerModel, widget: KnowSAMWidget, volume: Volume, qtbot: QtBot) -> list[Labels]:
    """Open an image anew, restore what was painted, and return the prediction layers."""
    data, kwargs, _ = image_layer_data(Volume(volume.array.copy(), volume.grid, NAME))
    viewer.add_layer(Image(data, **kwargs))
    qtbot.waitUntil(lambda: bool(offered(widget)))
    press(widget, "Restore")
    return [layer for layer in viewer.layers if " prediction" in layer.name]


def test_restored_corrections_take_the_place_of_the_layer_that_stayed(
    closed: Callable[[], tuple[ViewerModel, KnowSAMWidget]], named: Volume, qtbot: QtBot
) -> None:
    viewer, widget = closed()
    (prediction,) = reopen(viewer, widget, named, qtbot)
    assert prediction.name == f"{NAME} prediction"
    np.testing.assert_array_equal(prediction.data[5], square(1, 4))
    sync = presenter_of(widget).layers.sync
    assert sync is not None
    assert prediction in sync.layers
    widget.close_presenter()


def test_a_layer_that_stayed_and_was_painted_on_since_is_not_removed(
    closed: Callable[[], tuple[ViewerModel, KnowSAMWidget]], named: Volume, qtbot: QtBot
) -> None:
    viewer, widget = closed()
    left = viewer.layers[f"{NAME} prediction"]
    left.data[2, 2:5, 2:5] = 1
    assert len(reopen(viewer, widget, named, qtbot)) == 2
    assert left in viewer.layers
    assert left.data[2, 2:5, 2:5].all()
    widget.close_presenter()


def test_an_image_that_was_closed_is_not_reported_as_open_when_it_is_opened_again(
    named: Volume, folder: Path, qtbot: QtBot
) -> None:
    viewer, widget = open_image(named)
    change(widget, lambda work: work.paint({3: square(1)}))
    viewer.layers.remove(NAME)
    data, kwargs, _ = image_layer_data(Volume(named.array.copy(), named.grid, NAME))
    viewer.add_layer(Image(data, **kwargs))
    qtbot.waitUntil(lambda: presenter_of(widget).layers.document is not None)
    assert widget.annotate._message.text() == ""
    change(widget, lambda work: work.paint({2: square(1)}))
    widget.close_presenter()
    assert files(folder) == [f"{fingerprint(named)}.npz"]


def test_corrections_of_a_closed_image_are_reported_as_saved(
    closed: Callable[[], tuple[ViewerModel, KnowSAMWidget]],
) -> None:
    _, widget = closed()
    said = widget.annotate._message.text()
    widget.close_presenter()
    assert said.startswith(f"{NAME} prediction stays: it shows what you corrected. That is saved, too")


def test_corrections_of_a_closed_image_are_not_reported_as_saved_where_that_failed(
    closed: Callable[[], tuple[ViewerModel, KnowSAMWidget]], folder: Path
) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_bytes(b"in the way")
    _, widget = closed()
    said = widget.annotate._message.text()
    widget.close_presenter()
    assert "could not be saved by itself" in said
    assert "before you close napari" in said


def test_the_plane_is_changed_for_what_was_painted_in_another_one(
    folder: Path, named: Volume, classes: tuple[LabelClass, ...]
) -> None:
    plane = np.zeros((6, 10), np.uint8)
    plane[2:4, 2:4] = LIVER
    save(folder, AnnotationDocument(named, CORONAL, classes), lambda document: document.paint({7: plane}))
    viewer, widget = open_image(named)
    presenter = presenter_of(widget)
    presenter.layers.choose_axis(AXIAL)
    press(widget, "Restore")
    assert presenter.layers.document is not None
    assert presenter.layers.document.axis == CORONAL
    assert presenter.layers.document.annotated == (7,)
    np.testing.assert_array_equal(labels_of(viewer).data[:, 7], plane)
    widget.close_presenter()


def test_slices_painted_in_another_plane_meanwhile_are_not_mixed_with_those_offered(
    folder: Path, named: Volume, classes: tuple[LabelClass, ...]
) -> None:
    plane = np.zeros((6, 10), np.uint8)
    plane[2:4, 2:4] = LIVER
    save(folder, AnnotationDocument(named, CORONAL, classes), lambda document: document.paint({7: plane}))
    viewer, widget = open_image(named)
    presenter = presenter_of(widget)
    presenter.layers.choose_axis(AXIAL)
    labels_of(viewer).data[0, 1:4, 1:4] = 1
    press(widget, "Restore")
    assert "were painted in another plane" in widget.annotate._message.text()
    assert offered(widget)
    presenter.layers.new_labels()
    press(widget, "Restore")
    assert presenter.layers.document is not None
    assert presenter.layers.document.annotated == (7,)
    assert (labels_of(viewer).data[0, 1:4, 1:4] == 1).all()
    widget.close_presenter()


def test_closing_the_panel_saves_the_last_stroke(folder: Path, named: Volume) -> None:
    viewer, widget = open_image(named)
    labels_of(viewer).data[2, 2:5, 2:5] = 1
    widget.close_presenter()
    assert read_snapshot(folder / f"{fingerprint(named)}.npz", named.shape).annotated == (2,)


def test_a_folder_that_cannot_be_written_does_not_stop_the_work(folder: Path, named: Volume) -> None:
    folder.parent.mkdir()
    folder.touch()
    viewer, widget = open_image(named)
    labels_of(viewer).data[2, 2:5, 2:5] = 1
    presenter_of(widget).layers.flush()
    presenter_of(widget).autosave.save()
    presenter_of(widget).autosave._wait()
    assert "You can go on" in widget.annotate._message.text()
    layers = presenter_of(widget).layers
    change(widget, AnnotationDocument.mark, 0, SliceState.BACKGROUND_ONLY)
    assert layers.document is not None
    assert layers.document.annotated == (0, 2)
    widget.close_presenter()
