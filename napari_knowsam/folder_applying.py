"""The opened model, applied to a folder of images beside the window: a mask of each, and a table of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from knowsam.errors import InputError, OutputError
from knowsam.io.atomic import check_place
from knowsam.io.image_file import mask_name
from knowsam.prediction_table import write_table
from knowsam.project.project import image_paths
from napari_knowsam.background import Work
from napari_knowsam.panels.model_dialogs import ask_folders

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from knowsam.prediction_table import Predicted
    from knowsam.training.trained_model import TrainedModel
    from napari_knowsam.background import Background
    from napari_knowsam.model_keeping import ModelKeeping
    from napari_knowsam.panels.result_panel import ResultPanel
    from napari_knowsam.panels.train_panel import TrainPanel

TABLE = "predictions.csv"
_MOST_NAMED = 3


class FolderApplying(QObject):
    """Asks for a folder of images and one for the masks, and lets the opened model predict them."""

    def __init__(
        self,
        train: TrainPanel,
        result: ResultPanel,
        models: ModelKeeping,
        background: Background,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._models, self._background = models, background
        self._train, self._result = train, result
        train.model_box.apply_to_folder_requested.connect(self._on_requested)

    def _on_requested(self) -> None:
        self._background.begin(self._prepared)

    def _prepared(self) -> FolderPrediction | None:
        model, folders = self._models.model, ask_folders(self._result)
        if model is None or folders is None:
            return None
        return FolderPrediction(model, _checked_images(*folders), folders[1], self._train.device())


def _checked_images(folder: Path, masks: Path) -> list[Path]:
    """Return the images of a folder, if the mask of each can be written to another one.

    Raises
    ------
    InputError
        If there is no image, or two would have the same mask.
    OutputError
        If a mask or the table is there already, or cannot be written.
    """
    images = image_paths(folder)
    if not images:
        raise InputError(f"There is no image in {folder}. Choose a folder of image files, or of DICOM folders.")
    names = {mask_name(image) for image in images}
    if len(names) < len(images):
        raise InputError("Two images have the same name, so their masks would too. Rename one of them.")
    taken = sorted(name for name in (*names, TABLE) if (masks / name).exists())
    if taken:
        raise OutputError(f"{taken[0]} is in {masks} already, and is kept. Choose an empty folder for the masks.")
    check_place(masks / TABLE)
    return images


class FolderPrediction(Work):
    """A mask of each image, and the table of all that were predicted before it was stopped."""

    def __init__(self, model: TrainedModel, images: Sequence[Path], masks: Path, device: str) -> None:
        super().__init__("Applying the model", "Reading the first image")
        self._model, self._images, self._masks, self._device = model, images, masks, device

    def run(self) -> Iterator[str]:
        """Predict the images, and say how many there are masks of, and what is wrong with the others.

        Raises
        ------
        OutputError
            If the table cannot be written.
        """
        from knowsam.folder_prediction import predicted_images
        from knowsam.training.interruption import Interrupted

        rows: list[Predicted] = []
        try:
            for row in predicted_images(self._model, self._images, self._masks, device=self._device, check=self.check):
                rows.append(row)
                self.progress = (f"{len(rows)} of {len(self._images)} images", len(rows) / len(self._images))
                self.check()
        except Interrupted:
            pass
        finally:
            sentence = self._summary(rows)
        yield sentence

    def _summary(self, rows: Sequence[Predicted]) -> str:
        try:
            write_table(self._masks / TABLE, rows, self._model.classes, overwrite=False)
        except OSError as error:
            raise OutputError(
                f"The masks are in {self._masks}, but {TABLE} cannot be written there ({error.strerror or error})."
            ) from error
        problems = [f"{row.image}: {row.problem}" for row in rows if row.problem]
        remarks = [*problems, *(row.difference for row in rows if row.difference)]
        more = len(remarks) - _MOST_NAMED
        named = [*remarks[:_MOST_NAMED], *([f"The table has {more} more such remarks."] if more > 0 else [])]
        predicted = len(rows) - len(problems)
        sentence = f"Predicted {predicted} of {len(self._images)} images; {TABLE} beside the masks has their volumes."
        empty = sum(bool(row.mask) and not any(one.pieces for one in row.measures) for row in rows)
        found = [f"No structure was found in {empty} of them."] if empty else []
        return " ".join([sentence, *found, *named])
