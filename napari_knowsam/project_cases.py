"""The images of a project, opened one after the other, and their states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, Signal

from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.kept_files import fingerprint
from knowsam.errors import InputError, KnowSAMError, OutputError
from knowsam.inference.picture import thumbnail, write_png
from knowsam.project.case import CaseState, ProjectCase
from knowsam.project.finished import mask_paths, read_finished, write_masks
from knowsam.project.project import Project
from napari_knowsam import status_messages
from napari_knowsam.choice_dialog import main_window
from napari_knowsam.error_messages import notices_shown
from napari_knowsam.opening import Opening
from napari_knowsam.volume_layers import image_layer_data

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Image
    from napari.viewer import Viewer

    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Volume
    from napari_knowsam.autosave import Autosave
    from napari_knowsam.layer_choice import LayerChoice
    from napari_knowsam.panels.case_bar import CaseBar
    from napari_knowsam.training_controller import TrainingController

_PICTURE_PX = 96


class ProjectCases(QObject):
    """Has one image of a project open at a time; the work on all others lies on the disk.

    Parameters
    ----------
    restore : restores the saved work on the chosen image.
    """

    opened = Signal()
    """An image of the project was opened, and what was painted in it is there again."""

    def __init__(
        self,
        viewer: Viewer,
        layers: LayerChoice,
        controller: TrainingController,
        autosave: Autosave,
        bar: CaseBar,
        restore: Callable[[], None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._layers, self._controller, self._autosave = viewer, layers, controller, autosave
        self._bar, self._restore, self._say = bar, restore, layers.signals.problem.emit
        self.project: Project | None = None
        self._case: ProjectCase | None = None
        self._image: Image | None = None
        self._wanted: ProjectCase | None = None
        self._dice: Mapping[str, float] = {}
        bar.case_chosen.connect(self._guarded(self._choose))
        bar.done_requested.connect(self._guarded(self._end_case))
        bar.next_requested.connect(self.open_next)
        bar.export_requested.connect(self._guarded(self._export))
        bar.close_requested.connect(self._guarded(self._close_project))
        layers.signals.history_changed.connect(self._on_changed)
        layers.signals.document_changed.connect(self._show_current)

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """Classes of the image of the project that was worked on last, background first; none without a project."""
        return () if self.project is None else self.project.classes

    @property
    def axis(self) -> int | None:
        """Working axis along which that image was annotated; None without a project, or before there was one."""
        return None if self.project is None else self.project.axis

    @property
    def finished_elsewhere(self) -> tuple[Callable[[], tuple[Volume, Volume]], ...]:
        """Readers of the images of the project that are done and not open, with their masks."""
        project = self.project
        if project is None:
            return ()
        return tuple(partial(read_finished, project, case) for case in project.done if case.path != self._path)

    def set_dice(self, dice: Mapping[str, float]) -> None:
        """Show how well what is proposed for finished images from the others fits them, by fingerprint."""
        if dice != self._dice:
            self._dice = dice
            self._show()

    def open_project(self, folder: Path) -> None:
        """Open a folder of images, and the first of them that is not done."""
        self._guarded(self._begin)(folder)

    def open_next(self) -> None:
        """Open the next image that is not done; the work on this one is kept."""
        self._guarded(self._go_on)()

    def close(self) -> None:
        """Save the state of the open image."""
        self._wanted = None
        self._guarded(self._keep)()

    @property
    def _path(self) -> Path | None:
        return None if self._case is None else self._case.path

    @property
    def _document(self) -> AnnotationDocument | None:
        """The work on the open image of the project, unless its layer was removed."""
        return None if self._image is None else self._layers.document_of(self._image)

    def _begin(self, folder: Path) -> None:
        self._require_idle()
        # A folder that is no project is refused before anything is closed; read again, it has the states noted by that.
        Project(folder)
        self._close_case()
        self.project = project = Project(folder)
        self._show()
        self._open(project.next_after(None) or project.cases[0])

    def _close_project(self) -> None:
        self._require_idle()
        self._close_case()
        self.project = None
        self._show()

    def _choose(self, row: int) -> None:
        assert self.project is not None
        case = self.project.cases[row]
        # Until it is open, the box shows the present project.
        self._show()
        if self._document is None or self._image is None or case.path != self._path:
            self._open(case)
        else:
            self._layers.show_image(self._image.name)

    def _go_on(self) -> None:
        if self.project is None:
            raise InputError("No project is open. Open a folder of images first (Open, Project folder).")
        following = self.project.next_after(self._path)
        if following is None:
            raise InputError(f"No other of the {len(self.project.cases)} images of the project is left to do.")
        self._open(following)

    def _end_case(self) -> None:
        self._require_idle()
        self._layers.flush()
        document = self._document
        if document is None or self.project is None or document is not self._layers.document:
            raise InputError("The image on the screen is none of the project. Choose the one that is done.")
        if document.unfinished:
            raise InputError(status_messages.unfinished_sentence(document.unfinished))
        if not document.annotated:
            raise InputError(
                "Nothing is painted or accepted in this image yet. If it shows no structure, mark one of its slices as "
                "background (G)."
            )
        self._save(document)
        self._note(CaseState.DONE)
        if self.project.next_after(self._path) is None:
            self._say(
                f"All {len(self.project.cases)} images of the project are done. For their masks: … > Export the masks "
                "of all done. For a model of them: Model > Train on finished volumes."
            )
        else:
            self._go_on()

    def _open(self, case: ProjectCase) -> None:
        self._require_idle()
        self._wanted = case
        Opening(case.path, partial(self._on_opened, case), main_window(), case.pick)

    def _on_opened(self, case: ProjectCase, volume: Volume, description: str) -> None:
        if self._wanted is not case or self.project is None:
            return
        self._wanted = None
        self._require_idle()
        self._close_case()
        self._autosave.keep_in(volume, self.project.work_folder)
        data, kwargs, _ = image_layer_data(notices_shown(volume))
        image = self._viewer.add_image(data, **kwargs)
        try:
            # Labels that lie on the voxels of this image may be of another patient.
            self._layers.choose_anew(image)
        except InputError:
            self._viewer.layers.remove(image)
            self._show()
            raise
        is_other = bool(case.fingerprint) and fingerprint(volume) != case.fingerprint
        self._case = ProjectCase(case.path, pick=description) if is_other else replace(case, pick=description)
        self._image = image
        if self._autosave.offer is not None:
            self._restore()
        else:
            self._begin_as_before()
        if is_other:
            self._say(
                f"{case.path.name} is not the image that was segmented under this name before, so the work begins anew."
            )
        elif case.state is CaseState.TO_DO and (done := len(self.finished_elsewhere)):
            self._say(status_messages.finished_images_sentence(done))
        self._viewer.reset_view()
        self._show()
        self.opened.emit()

    def _begin_as_before(self) -> None:
        """Give an image in which nothing is annotated the plane and the classes of the last one."""
        document, project = self._document, self.project
        if document is None or project is None or document.annotated or project.axis is None:
            return
        self._layers.choose_axis(project.axis)
        sync = self._layers.sync
        if sync is not None and project.classes:
            sync.change(AnnotationDocument.take_classes, project.classes)

    def _close_case(self) -> None:
        """Keep the work on the open image, and take its layers out of the viewer.

        Raises
        ------
        OutputError
            If what was painted cannot be saved; the image stays open then.
        """
        image, document = self._image, self._document
        if image is not None and document is not None:
            if document is not self._layers.document:
                # Only the strokes on the chosen image are taken in and saved.
                self._layers.choose_image(image.name)
            self._keep()
        if image is not None and image in self._viewer.layers:
            self._layers.close_image(image)
        self._case = self._image = None

    def _keep(self) -> None:
        """Save the annotations and the state of the open image."""
        document, case = self._document, self._case
        if document is None or case is None or self.project is None:
            return
        if not document.annotated and case.state is CaseState.TO_DO:
            return
        self._save(document)
        # The annotations are safe: if the rest cannot be written, that is no reason to stay.
        self._guarded(self._note)(CaseState.IN_WORK if self._is_unfinished(document) else case.state)
        self._guarded(self._keep_picture)(self.project.picture(case), document)

    def _save(self, document: AnnotationDocument) -> None:
        if not self._autosave.save_at_once():
            raise OutputError(
                f"What you painted in {document.name} could not be saved beside the images, so it stays open. "
                "Make room there, or export the mask."
            )

    def _is_unfinished(self, document: AnnotationDocument) -> bool:
        """Whether an image cannot be done, whatever is predicted beyond its annotations."""
        is_done = self._case is not None and self._case.state is CaseState.DONE
        return not is_done or document.has_gaps or not document.annotated

    def _note(self, state: CaseState) -> None:
        document = self._document
        if document is not None and self._case is not None and self.project is not None:
            self._case = replace(self._case, state=state, fingerprint=fingerprint(document.volume))
            self.project.keep(self._case, document.classes, document.axis)
            self._show()

    def _keep_picture(self, path: Path, document: AnnotationDocument) -> None:
        volume = document.volume
        picture = thumbnail(
            volume.array,
            document.mask(),
            axis=document.axis,
            spacing_mm=volume.spacing_mm,
            colors={one.value: one.color for one in document.classes[1:]},
            side_px=_PICTURE_PX,
        )
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"The picture of {volume.name} cannot be kept: {error.strerror}.") from error
        write_png(path, picture)

    def _on_changed(self) -> None:
        """Show at once that an image is in work, for the first time or again."""
        document, case = self._document, self._case
        if document is None or case is None:
            return
        is_begun = case.state is CaseState.TO_DO and document.annotated
        if is_begun or (case.state is CaseState.DONE and self._is_unfinished(document)):
            self._guarded(self._note)(CaseState.IN_WORK)

    def _export(self, folder: Path) -> None:
        """Write the masks of all images that are done, in a thread."""
        assert self.project is not None
        self._keep()
        paths = mask_paths(self.project, folder)
        taken = [path for path in paths.values() if path.exists()]
        if taken:
            raise OutputError(
                f"{len(taken)} of {len(paths)} masks are in {folder} already, for example {taken[0].name}, and are "
                "kept. Choose an empty folder."
            )
        self._say(f"Writing {len(paths)} masks …")
        work = partial(_write_all, self.project, paths)
        create_worker(work, _ignore_errors=True, _connect={"returned": self._say, "errored": self._on_failed})

    def _on_failed(self, error: Exception) -> None:
        self._say(f"The masks were not written, for an unexpected error: {error!r}.")

    def _require_idle(self) -> None:
        if self._controller.is_busy:
            raise InputError(status_messages.BUSY)

    def _guarded(self, action: Callable[..., object]) -> Callable[..., None]:
        """Return the action, whose errors become a sentence for the user."""

        def act(*values: object) -> None:
            try:
                action(*values)
            except KnowSAMError as error:
                self._say(str(error))

        return act

    def _show(self) -> None:
        project = self.project
        cases = () if project is None else project.cases
        pictures = [] if project is None else [project.picture(case) for case in cases]
        self._bar.set_cases(cases, pictures, self._dice)
        self._show_current()

    def _show_current(self) -> None:
        """Show which image of the project is on the screen, if one is."""
        cases = () if self.project is None else self.project.cases
        document = self._document
        is_seen = document is not None and document is self._layers.document
        seen = [row for row, case in enumerate(cases) if is_seen and case.path == self._path]
        self._bar.set_current(seen[0] if seen else None)


def _write_all(project: Project, paths: Mapping[ProjectCase, Path]) -> str:
    """Write masks, and return a sentence on their number and on the faults of others."""
    problems = [problem for _, problem in write_masks(project, paths) if problem]
    return " ".join([f"Saved {len(paths) - len(problems)} of {len(paths)} masks.", *problems])
