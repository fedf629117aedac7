"""What was painted is kept while a person works, offered when the image is opened again, and never lost on the way."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtWidgets import QAbstractButton, QLabel

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass, SliceState
from knowsam.data.volume import Grid, Volume
from knowsam.errors import InputError
from napari_knowsam import autosave as autosave_module
from napari_knowsam.autosave import INTERVAL_MS, Autosave, fingerprint
from napari_knowsam.dock_widget import KnowSAMWidget
from napari_knowsam.snapshot import read_snapshot, write_snapshot
from napari_knowsam.volume_layers import image_layer_data
from napari_knowsam.worksheet import Worksheet

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from pytestqt.qtbot import QtBot

    from napari_knowsam.workbench import Workbench

pytestmark = pytest.mark.usefixtures("qapp")

AXIAL, CORONAL = 0, 1
NAME = "Mustermann^Erika"
LIVER, SPLEEN = 2, 5


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where everything is saved that is saved in this test."""
    made = tmp_path / "data" / "autosave"
    monkeypatch.setattr(autosave_module, "default_folder", lambda: made)
    return made


@pytest.fixture
def named(tiny: Volume) -> Volume:
    return Volume(tiny.array, tiny.grid, NAME)


@pytest.fixture
def sheet(named: Volume, classes: tuple[LabelClass, ...]) -> Worksheet:
    return Worksheet(named, AXIAL, classes)


def square(value: int, corner: int = 1) -> np.ndarray[Any, Any]:
    """(8, 10), axial slices of `tiny`."""
    plane = np.zeros((8, 10), np.uint8)
    plane[corner : corner + 3, corner : corner + 3] = value
    return plane


def fill(sheet: Worksheet) -> None:
    """Paint, mark and correct, known background among it."""
    partly = square(SPLEEN)
    partly[6] = sheet.brush_value
    sheet.paint({1: square(LIVER), 3: partly})
    sheet.mark(3, SliceState.PARTIAL)
    sheet.mark(4, SliceState.BACKGROUND_ONLY)
    sheet.correct({5: square(LIVER, 4)})


def again(sheet: Worksheet, *classes: LabelClass) -> Worksheet:
    """The same image, opened anew, with nothing painted."""
    volume = Volume(sheet.volume.array.copy(), sheet.volume.grid, "another name")
    return Worksheet(volume, AXIAL, (BACKGROUND_CLASS, *(classes or (LabelClass(1, "class 1", (1, 2, 3)),))))


def session(folder: Path, sheet: Worksheet) -> Autosave:
    """Begin to work on a sheet."""
    kept = Autosave(folder)
    kept.watch(sheet)
    return kept


def save(folder: Path, sheet: Worksheet, work: Callable[[Worksheet], object] = fill) -> None:
    """Do some work on a sheet, and end."""
    kept = session(folder, sheet)
    work(sheet)
    kept.close()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_signal_that_ends_napari_leaves_the_work_saved(sheet: Worksheet, folder: Path) -> None:
    found: list[list[str]] = []
    before = signal.signal(signal.SIGTERM, lambda *_: found.append(files(folder)))
    try:
        kept = session(folder, sheet)
        fill(sheet)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert found == [[f"{fingerprint(sheet.volume)}.npz"]]
    kept.close()


def test_a_snapshot_comes_back_from_its_file_as_it_was(sheet: Worksheet, tmp_path: Path) -> None:
    fill(sheet)
    sheet.predict(0, np.ones((8, 10), np.uint8), np.zeros((8, 10), np.uint8))
    sheet.accept((0,))
    before = sheet.snapshot()
    write_snapshot(tmp_path / "kept.npz", before)
    after = read_snapshot(tmp_path / "kept.npz", sheet.volume.shape)
    assert (after.axis, after.classes, after.brush_value) == (AXIAL, sheet.classes, 255)
    assert after.taken_at == before.taken_at
    assert sorted(after.records) == [0, 1, 3, 4, 5]
    assert [index for index, record in after.records.items() if record.from_prediction] == [0]
    for index, record in before.records.items():
        assert after.records[index].mark is record.mark
        np.testing.assert_array_equal(after.records[index].painted, record.painted)
        np.testing.assert_array_equal(after.records[index].correction, record.correction)
    assert after.holds(before)


def test_a_file_is_an_ordinary_npz_without_pickled_objects(sheet: Worksheet, tmp_path: Path) -> None:
    fill(sheet)
    write_snapshot(tmp_path / "kept.npz", sheet.snapshot())
    with np.load(tmp_path / "kept.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["about", "correction_5", "painted_1", "painted_3"]


def test_a_file_holds_neither_the_name_of_the_image_nor_its_voxels(sheet: Worksheet, folder: Path) -> None:
    save(folder, sheet)
    (path,) = folder.iterdir()
    with np.load(path, allow_pickle=False) as arrays:
        data = path.name.encode() + b"".join(arrays[name].tobytes() for name in arrays)
        assert "liver" in str(arrays["about"])
    # Text in arrays has four bytes a letter.
    for word in (NAME, "Mustermann", "tiny", str(folder)):
        assert word.encode() not in data + path.read_bytes()
        assert word.encode("utf-32-le") not in data
    assert sheet.volume.array[3, 4].tobytes() not in data


@pytest.mark.parametrize("cut", [0, 1, 30, 200, -1, -30])
def test_a_file_that_was_cut_off_is_refused(sheet: Worksheet, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "kept.npz"
    fill(sheet)
    write_snapshot(path, sheet.snapshot())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"kept\.npz should hold the painting .* damaged or of another kind"):
        read_snapshot(path, sheet.volume.shape)


@pytest.mark.parametrize("bit", [0, 3, 7])
def test_a_file_with_a_flipped_bit_is_refused_or_read_rightly(sheet: Worksheet, tmp_path: Path, bit: int) -> None:
    path = tmp_path / "kept.npz"
    fill(sheet)
    before = sheet.snapshot()
    write_snapshot(path, before)
    good = path.read_bytes()
    refused = 0
    for place in range(0, len(good), 3):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1 << bit]) + good[place + 1 :])
        try:
            read = read_snapshot(path, sheet.volume.shape)
        except InputError:
            refused += 1
        else:
            assert read.holds(before)
    assert refused > len(good) / 3 / 2


class Trap:
    """Writes a file as soon as it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "executed")


def test_pickled_code_is_refused_and_not_executed(sheet: Worksheet, tmp_path: Path) -> None:
    np.savez(tmp_path / "kept.npz", about=np.array([Trap(tmp_path / "trace")], dtype=object))
    with pytest.raises(InputError, match="damaged or of another kind"):
        read_snapshot(tmp_path / "kept.npz", sheet.volume.shape)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": (6, 8, 11)},
        {"classes": (BACKGROUND_CLASS, LabelClass(9, "other", (1, 2, 3)))},
        {"axis": 3},
        {"brush_value": LIVER},
    ],
)
def test_a_file_that_contradicts_itself_is_refused(sheet: Worksheet, tmp_path: Path, wrong: dict[str, Any]) -> None:
    fill(sheet)
    write_snapshot(tmp_path / "kept.npz", replace(sheet.snapshot(), **wrong))
    with pytest.raises(InputError):
        read_snapshot(tmp_path / "kept.npz", sheet.volume.shape)


def test_restoring_brings_back_classes_paint_marks_and_corrections(sheet: Worksheet) -> None:
    fill(sheet)
    new = again(sheet, LabelClass(LIVER, "class 2", (9, 9, 9)))
    assert new.restore(sheet.snapshot()) == (1, 3, 4, 5)
    assert new.classes == sheet.classes
    assert new.states() == sheet.states()
    assert new.corrected == (5,)
    np.testing.assert_array_equal(new.painting(), sheet.painting())
    np.testing.assert_array_equal(new.mask(), sheet.mask())


def test_restoring_leaves_other_slices_and_is_one_action_to_undo(sheet: Worksheet) -> None:
    fill(sheet)
    new = again(sheet, *sheet.classes[1:])
    new.paint({0: square(SPLEEN), 1: square(SPLEEN)})
    before = new.painting()
    new.restore(sheet.snapshot())
    restored = new.painting()
    assert new.annotated == (0, 1, 3, 4, 5)
    assert new.undo_name == "restored painting"
    new.undo()
    assert (new.annotated, new.corrected) == ((0, 1), ())
    np.testing.assert_array_equal(new.painting(), before)
    new.redo()
    np.testing.assert_array_equal(new.painting(), restored)


def test_known_background_is_restored_where_its_value_is_another(sheet: Worksheet) -> None:
    fill(sheet)
    new = Worksheet(again(sheet).volume, AXIAL, sheet.classes, brush_value=254)
    new.restore(sheet.snapshot())
    assert (new.painted(3)[6] == 254).all()
    assert new.state(3) is SliceState.PARTIAL


def test_a_class_on_the_value_of_the_brush_takes_it_over_while_nothing_is_painted(named: Volume) -> None:
    mask = LabelClass(255, "mask", (1, 2, 3))
    old = Worksheet(named, AXIAL, (BACKGROUND_CLASS, mask))
    old.paint({2: square(255)})
    new = again(old)
    new.restore(old.snapshot())
    assert new.classes[-1] == mask
    assert new.brush_value == 254
    np.testing.assert_array_equal(new.painted(2), square(255))
    busy = again(old)
    busy.paint({0: square(1)})
    with pytest.raises(InputError, match="Make new labels"):
        busy.restore(old.snapshot())
    assert busy.annotated == (0,)


def test_a_snapshot_holds_another_only_if_every_slice_was_judged_alike(sheet: Worksheet) -> None:
    nothing = sheet.snapshot()
    fill(sheet)
    everything = sheet.snapshot()
    assert everything.holds(nothing)
    assert not nothing.holds(everything)
    sheet.mark(3, SliceState.COMPLETE)
    assert not sheet.snapshot().holds(everything)
    sheet.undo()
    sheet.paint({0: square(LIVER)})
    assert sheet.snapshot().holds(everything)


def test_work_is_offered_in_the_next_session(sheet: Worksheet, folder: Path) -> None:
    save(folder, sheet)
    said: list[str] = []
    kept = Autosave(folder)
    kept.offered.connect(said.append)
    kept.watch(again(sheet))
    when = sheet.snapshot().taken_at
    assert said[-1].startswith(f"You painted 4 slices of this image on {when.day} ")
    assert kept.offer is not None
    assert kept.offer.judged == (1, 3, 4, 5)
    kept.close()


def test_nothing_is_offered_where_it_is_there_already(sheet: Worksheet, folder: Path) -> None:
    save(folder, sheet)
    new = again(sheet, *sheet.classes[1:])
    fill(new)
    new.paint({0: square(LIVER)})
    kept = session(folder, new)
    assert kept.offer is None
    kept.close()


def test_nothing_is_offered_for_another_image(sheet: Worksheet, folder: Path) -> None:
    save(folder, sheet)
    other = sheet.volume.array.copy()
    other[2, 3, 4] += 1
    kept = session(folder, Worksheet(Volume(other, sheet.volume.grid, NAME), AXIAL, sheet.classes))
    assert kept.offer is None
    kept.close()


def test_a_declined_offer_is_not_made_again_in_this_session(sheet: Worksheet, folder: Path) -> None:
    save(folder, sheet)
    new = again(sheet)
    kept = session(folder, new)
    kept.settle()
    assert kept.offer is None
    kept.watch(None)
    kept.watch(new)
    assert kept.offer is None
    kept.close()
    later = session(folder, again(sheet))
    assert later.offer is not None
    later.close()


def test_an_unanswered_offer_survives_new_work_on_the_image(sheet: Worksheet, folder: Path) -> None:
    save(folder, sheet)
    save(folder, again(sheet), lambda new: new.paint({0: square(1)}))
    name = fingerprint(sheet.volume)
    assert files(folder) == [f"{name}.npz", f"{name}.previous.npz"]
    kept = session(folder, again(sheet))
    assert kept.offer is not None
    assert kept.offer.judged == (0,)
    kept.settle()
    assert kept.offer is not None
    assert kept.offer.judged == (1, 3, 4, 5)
    kept.close()


def test_offers_that_are_never_answered_are_all_kept(sheet: Worksheet, folder: Path) -> None:
    save(folder, sheet)
    for index in (0, 2):
        save(folder, again(sheet), lambda new, index=index: new.paint({index: square(1)}))
    name = fingerprint(sheet.volume)
    assert files(folder) == [f"{name}.npz", f"{name}.previous-2.npz", f"{name}.previous.npz"]
    kept = session(folder, again(sheet))
    offers = []
    while kept.offer is not None:
        offers.append(kept.offer.judged)
        kept.settle()
    assert offers == [(2,), (0,), (1, 3, 4, 5)]
    kept.close()


def test_work_that_holds_what_was_set_aside_takes_its_place(sheet: Worksheet, folder: Path) -> None:
    save(folder, again(sheet), lambda new: new.paint({0: square(1)}))
    save(folder, again(sheet), lambda new: new.paint({2: square(1)}))
    save(folder, again(sheet), lambda new: new.paint({0: square(1), 2: square(1)}))
    save(folder, again(sheet), lambda new: new.paint({4: square(1)}))
    name = fingerprint(sheet.volume)
    assert files(folder) == [f"{name}.npz", f"{name}.previous.npz"]
    assert read_snapshot(folder / f"{name}.previous.npz", sheet.volume.shape).judged == (0, 2)


def test_a_second_damaged_file_does_not_replace_the_first(sheet: Worksheet, folder: Path) -> None:
    folder.mkdir(parents=True)
    path = folder / f"{fingerprint(sheet.volume)}.npz"
    for content in (b"one", b"two"):
        path.write_bytes(content)
        save(folder, again(sheet), lambda new: new.paint({0: square(1)}))
    assert path.with_suffix(".damaged.npz").read_bytes() == b"one"
    assert path.with_suffix(".damaged-2.npz").read_bytes() == b"two"


def test_work_from_which_everything_was_erased_leaves_what_was_saved(sheet: Worksheet, folder: Path) -> None:
    kept = session(folder, sheet)
    sheet.paint({1: square(LIVER)})
    kept.save()
    sheet.undo()
    kept.close()
    later = session(folder, again(sheet))
    assert later.offer is not None
    assert later.offer.judged == (1,)
    later.close()


def test_nothing_is_written_while_nothing_changes(sheet: Worksheet, folder: Path) -> None:
    fill(sheet)
    kept = session(folder, sheet)
    kept.save()
    kept.close()
    assert not folder.exists()


def test_work_is_saved_before_another_image_is_shown(sheet: Worksheet, folder: Path, phantom: Volume) -> None:
    kept = session(folder, sheet)
    sheet.paint({1: square(LIVER)})
    kept.watch(Worksheet(phantom, AXIAL, sheet.classes))
    kept.close()
    assert files(folder) == [f"{fingerprint(sheet.volume)}.npz"]


def test_work_is_saved_every_now_and_then(sheet: Worksheet, folder: Path, qtbot: QtBot) -> None:
    kept = Autosave(folder)
    assert kept._due.interval() == INTERVAL_MS == 15_000
    kept._due.setInterval(10)
    kept.watch(sheet)
    sheet.paint({1: square(LIVER)})
    qtbot.waitUntil(lambda: folder.exists() and files(folder) == [f"{fingerprint(sheet.volume)}.npz"], timeout=30_000)
    kept.close()


def test_a_damaged_file_is_logged_and_kept(sheet: Worksheet, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.mkdir(parents=True)
    path = folder / f"{fingerprint(sheet.volume)}.npz"
    path.write_bytes(b"something else")
    with caplog.at_level(logging.WARNING):
        kept = session(folder, sheet)
    assert kept.offer is None
    assert path.name in caplog.text
    sheet.paint({1: square(LIVER)})
    kept.close()
    damaged = path.with_suffix(".damaged.npz")
    assert damaged.read_bytes() == b"something else"
    assert files(folder) == [damaged.name, path.name]


def test_a_folder_that_cannot_be_written_is_told_of_once(
    sheet: Worksheet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a file").touch()
    kept = session(tmp_path / "a file" / "autosave", sheet)
    said: list[str] = []
    kept.problem.connect(said.append)
    for index in range(3):
        sheet.paint({index: square(LIVER)})
        kept.save()
    kept.close()
    assert len(said) == 1
    assert "You can go on; export or save the labels" in said[0]
    assert caplog.text.count("cannot be saved") == 1


def test_what_could_not_be_saved_is_tried_again(sheet: Worksheet, tmp_path: Path) -> None:
    blocked = tmp_path / "autosave"
    blocked.touch()
    kept = session(blocked, sheet)
    sheet.paint({1: square(LIVER)})
    kept.save()
    kept._wait()
    blocked.unlink()
    kept.close()
    assert files(blocked) == [f"{fingerprint(sheet.volume)}.npz"]


def test_files_nobody_came_back_to_for_two_months_go_when_one_is_written(sheet: Worksheet, folder: Path) -> None:
    folder.mkdir(parents=True)
    old, young = time.time() - 61 * 86_400, time.time() - 59 * 86_400
    own = f"{fingerprint(sheet.volume)}.previous.npz"
    stays = {f"{'b' * 32}.npz": young, "thesis.npz": old, own: old}
    goes = [f"{'a' * 32}.npz", f"{'c' * 32}.previous.npz", f"{'c' * 32}.previous-2.npz", f"{'d' * 32}.damaged-3.npz"]
    for name, changed in (stays | dict.fromkeys(goes, old)).items():
        (folder / name).touch()
        os.utime(folder / name, (changed, changed))
    save(folder, sheet)
    assert files(folder) == sorted([*stays, f"{fingerprint(sheet.volume)}.npz"])


def test_a_fingerprint_tells_images_apart_and_their_names_not(tiny: Volume) -> None:
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


def open_image(make_viewer: Callable[..., Viewer], volume: Volume) -> tuple[Viewer, KnowSAMWidget]:
    """Open the image in a new viewer, with the panel beside it."""
    viewer = make_viewer()
    data, kwargs, _ = image_layer_data(volume)
    viewer.add_layer(Image(data, **kwargs))
    widget = KnowSAMWidget(viewer)
    viewer.window.add_dock_widget(widget)
    return viewer, widget


def bench(widget: KnowSAMWidget) -> Workbench:
    assert widget.workbench is not None
    return widget.workbench


def labels_of(viewer: Viewer) -> Labels:
    return next(layer for layer in viewer.layers if layer.name.endswith(" labels"))


def offered(widget: KnowSAMWidget) -> str:
    """What the panel offers to restore; empty if it shows no offer."""
    offer = widget.annotate._offer
    return "" if offer.isHidden() else offer.findChild(QLabel).text()


def press(widget: KnowSAMWidget, text: str) -> None:
    next(one for one in widget.annotate._offer.findChildren(QAbstractButton) if one.text() == text).click()


@pytest.fixture
def crashed(folder: Path, make_napari_viewer: Callable[..., Viewer], named: Volume) -> Path:
    """Two slices were painted, one of them in a second class, and napari was gone before anything was closed."""
    viewer, widget = open_image(make_napari_viewer, named)
    bridge = bench(widget).bridge
    bridge.add_class()
    bridge.rename_class(2, "spleen")
    labels_of(viewer).data[1, 2:5, 2:5] = 1
    labels_of(viewer).data[3, 2:5, 2:5] = 2
    bridge.flush()
    autosave = bench(widget).autosave
    autosave.save()
    autosave._wait()
    return folder


def test_after_a_crash_the_painting_is_offered_and_restored_and_can_be_undone(
    crashed: Path, make_napari_viewer: Callable[..., Viewer], tiny: Volume
) -> None:
    viewer, widget = open_image(make_napari_viewer, tiny)
    assert offered(widget).startswith("You painted 2 slices of this image on ")
    assert not labels_of(viewer).data.any()
    press(widget, "Restore")
    sheet = bench(widget).bridge.worksheet
    assert sheet is not None
    assert sheet.annotated == (1, 3)
    assert [one.name for one in sheet.classes] == ["background", "class 1", "spleen"]
    assert (labels_of(viewer).data[3, 2:5, 2:5] == 2).all()
    assert offered(widget) == ""
    assert not any(layer.name.endswith(" prediction") for layer in viewer.layers)
    bench(widget).bridge.undo()
    assert not labels_of(viewer).data.any()
    bench(widget).bridge.redo()
    assert labels_of(viewer).data[1].sum() == 9
    widget.close_workbench()


def test_an_offer_that_is_not_wanted_goes(
    crashed: Path, make_napari_viewer: Callable[..., Viewer], tiny: Volume
) -> None:
    viewer, widget = open_image(make_napari_viewer, tiny)
    press(widget, "Not now")
    assert offered(widget) == ""
    assert not labels_of(viewer).data.any()
    widget.close_workbench()


def test_an_offer_goes_with_its_image(crashed: Path, make_napari_viewer: Callable[..., Viewer], tiny: Volume) -> None:
    viewer, widget = open_image(make_napari_viewer, tiny)
    assert offered(widget)
    viewer.layers.clear()
    assert offered(widget) == ""
    widget.close_workbench()


def test_restored_corrections_are_seen(
    folder: Path, make_napari_viewer: Callable[..., Viewer], sheet: Worksheet
) -> None:
    save(folder, sheet)
    viewer, widget = open_image(make_napari_viewer, sheet.volume)
    press(widget, "Restore")
    prediction = next(layer for layer in viewer.layers if layer.name.endswith(" prediction"))
    np.testing.assert_array_equal(prediction.data[5], square(LIVER, 4))
    widget.close_workbench()


def test_the_plane_is_changed_for_what_was_painted_in_another_one(
    folder: Path, make_napari_viewer: Callable[..., Viewer], named: Volume, classes: tuple[LabelClass, ...]
) -> None:
    plane = np.zeros((6, 10), np.uint8)
    plane[2:4, 2:4] = LIVER
    save(folder, Worksheet(named, CORONAL, classes), lambda sheet: sheet.paint({7: plane}))
    viewer, widget = open_image(make_napari_viewer, named)
    workbench = bench(widget)
    workbench.bridge.choose_axis(AXIAL)
    press(widget, "Restore")
    assert workbench.bridge.worksheet is not None
    assert workbench.bridge.worksheet.axis == CORONAL
    assert workbench.bridge.worksheet.annotated == (7,)
    np.testing.assert_array_equal(labels_of(viewer).data[:, 7], plane)
    widget.close_workbench()


def test_slices_painted_in_another_plane_meanwhile_are_not_mixed_with_those_offered(
    folder: Path, make_napari_viewer: Callable[..., Viewer], named: Volume, classes: tuple[LabelClass, ...]
) -> None:
    plane = np.zeros((6, 10), np.uint8)
    plane[2:4, 2:4] = LIVER
    save(folder, Worksheet(named, CORONAL, classes), lambda sheet: sheet.paint({7: plane}))
    viewer, widget = open_image(make_napari_viewer, named)
    workbench = bench(widget)
    workbench.bridge.choose_axis(AXIAL)
    labels_of(viewer).data[0, 1:4, 1:4] = 1
    press(widget, "Restore")
    assert "were painted in another plane" in widget.annotate._message.text()
    assert offered(widget)
    workbench.bridge.new_labels()
    press(widget, "Restore")
    assert workbench.bridge.worksheet is not None
    assert workbench.bridge.worksheet.annotated == (7,)
    assert (labels_of(viewer).data[0, 1:4, 1:4] == 1).all()
    widget.close_workbench()


def test_closing_the_panel_saves_the_last_stroke(
    folder: Path, make_napari_viewer: Callable[..., Viewer], named: Volume
) -> None:
    viewer, widget = open_image(make_napari_viewer, named)
    labels_of(viewer).data[2, 2:5, 2:5] = 1
    widget.close_workbench()
    assert read_snapshot(folder / f"{fingerprint(named)}.npz", named.shape).judged == (2,)


def test_a_folder_that_cannot_be_written_does_not_stop_the_work(
    folder: Path, make_napari_viewer: Callable[..., Viewer], named: Volume
) -> None:
    folder.parent.mkdir()
    folder.touch()
    viewer, widget = open_image(make_napari_viewer, named)
    labels_of(viewer).data[2, 2:5, 2:5] = 1
    bench(widget).bridge.flush()
    bench(widget).autosave.save()
    bench(widget).autosave._wait()
    assert "You can go on" in widget.annotate._message.text()
    bridge = bench(widget).bridge
    bridge.go_to(0)
    bridge.mark(SliceState.BACKGROUND_ONLY)
    assert bridge.worksheet is not None
    assert bridge.worksheet.annotated == (0, 2)
    widget.close_workbench()
