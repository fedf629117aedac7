"""Autosave: keeps the work on an image safe, and offers it again when the same image is opened."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import ReferenceType, WeakKeyDictionary, ref

from platformdirs import user_data_path
from qtpy.QtCore import QObject, QTimer, Signal

from knowsam.document.kept_files import fingerprint, paintings
from knowsam.document.snapshot_file import read_snapshot
from knowsam.errors import InputError
from napari_knowsam.save_file import SaveFile, kept_training
from napari_knowsam.termination import before_termination

if TYPE_CHECKING:
    from datetime import datetime

    from knowsam.data.volume import Volume
    from knowsam.document.annotation_document import AnnotationDocument
    from knowsam.document.snapshot import Snapshot
    from knowsam.training.continuation import Continuation

logger = logging.getLogger(__name__)

INTERVAL_MS = 1_000
"""With the time for writing, at most two seconds of painting are lost."""

OPEN_TWICE = (
    "This image is open a second time, in this window or in another one. What you paint here is saved by itself: "
    "neither overwrites the other."
)
# Not from the locale: everything round the name of the month is English.
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


class Autosave(QObject):
    """Keeps the work on one volume after the other in a folder, one file for each, and finds it there again.

    The files hold label values, marks, undo steps, classes and times, with a file of the training beside each, but
    nothing of the image and nothing that names a patient, unless the name of a class does. They are written in a
    thread. A file that cannot be read is never overwritten.

    Parameters
    ----------
    folder : made when it is needed; by default that of `default_folder`.
    """

    offered = Signal(str)
    """A sentence about painting that can be restored; an empty one if there is none."""

    problem = Signal(str)
    """Why nothing can be saved, that an image is open twice, or whether a closed image is saved; each only once."""

    def __init__(self, folder: Path | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._folder = default_folder() if folder is None else folder
        self._document: AnnotationDocument | None = None
        self._offer: Snapshot | None = None
        self._offers: WeakKeyDictionary[Volume, list[Snapshot]] = WeakKeyDictionary()
        self._sources: WeakKeyDictionary[Snapshot, Path] = WeakKeyDictionary()
        self._saved: WeakKeyDictionary[AnnotationDocument, Snapshot | None] = WeakKeyDictionary()
        self._files: WeakKeyDictionary[Volume, SaveFile] = WeakKeyDictionary()
        self._own_folders: WeakKeyDictionary[Volume, Path] = WeakKeyDictionary()
        self._authors: dict[Path, ReferenceType[AnnotationDocument]] = {}
        self._writing: Future[None] | None = None
        self._written_to = self._folder
        self._keeping: Future[None] | None = None
        self._has_failed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="KnowSAM autosave")
        self._due = QTimer(self)
        self._due.setInterval(INTERVAL_MS)
        self._due.timeout.connect(self._on_due)
        self._due.start()
        before_termination(self.save_at_once)

    @property
    def offer(self) -> Snapshot | None:
        """The work that can be restored."""
        return self._offer

    def keep_in(self, volume: Volume, folder: Path) -> None:
        """Keep the work on a volume, which has not been watched yet, in a folder of its own, and for good."""
        self._own_folders[volume] = folder

    def watch(
        self, document: AnnotationDocument | None, still_open: Collection[AnnotationDocument] | None = None
    ) -> None:
        """Save the work that was watched until now, watch another one, and offer annotations that it lacks.

        Parameters
        ----------
        still_open : the work on all images that are open, by default on all that were watched; other windows may have
            the files of those that are closed.
        """
        if document is not self._document:
            self.save()
            self._document = document
        if still_open is not None:
            self._let_go_of_others({one.volume for one in still_open})
        if document is not None:
            self._saved.setdefault(document, document.snapshot())
            if document.volume not in self._offers:
                self._wait()
                if self._file(document.volume).is_second:
                    self.problem.emit(OPEN_TWICE)
                kept = sorted(self._kept(document.volume), key=lambda snapshot: snapshot.taken_at, reverse=True)
                self._offers[document.volume] = kept
        self._make_offer()

    def settle(self) -> Path | None:
        """Withdraw the offer, which was accepted or declined, and make the next one, if any.

        Returns
        -------
        The file of the training of the offered work, see `read_continuation`; None if there is none.
        """
        if self._document is None or self._offer is None:
            return None
        training = self._training_of(self._offer)
        self._offers[self._document.volume].remove(self._offer)
        self._make_offer()
        return training

    def keeper(self, document: AnnotationDocument) -> Callable[[Continuation], None]:
        """Return a function that saves the training of a document, in any thread; it returns at once."""
        file = self._file(document.volume)

        def keep(continuation: Continuation) -> None:
            # After the panel was closed, it is too late: before, a person was asked what is to become of the training.
            with suppress(RuntimeError):
                self._keeping = self._thread.submit(file.keep_training, continuation)

        return keep

    def save(self) -> None:
        """Begin to write changes, once the last ones are written."""
        self._wait()
        document = self._document
        if document is None:
            return
        snapshot = document.snapshot()
        # The user may still want what was there before everything was erased.
        before = self._saved.get(document)
        if not snapshot.slices or (before is not None and before.is_unchanged_in(snapshot)):
            return
        self._saved[document] = snapshot
        file, author = self._file(document.volume), ref(document)
        self._written_to = file.path.parent
        by_another, self._authors[file.path] = self._authors.get(file.path) != author, author
        self._writing = self._thread.submit(file.keep, snapshot, set_aside=by_another)

    def save_at_once(self) -> bool:
        """Save, wait for it, and return whether the work that is watched is on the disk."""
        self.save()
        return self._wait()

    def tell_whether_kept(self, stayed: Mapping[str, AnnotationDocument]) -> None:
        """Report whether the corrections on layers that stay though their images were closed are saved, too."""
        is_kept = all(map(self._is_kept, stayed.values()))
        self.problem.emit(stayed_sentence(tuple(stayed), is_kept=is_kept))

    def close(self) -> None:
        """Save, wait for it, and watch nothing any more."""
        self._due.stop()
        self.save_at_once()
        self._document = None
        self._thread.shutdown()
        for file in self._files.values():
            file.release()

    def _on_due(self) -> None:
        if self._writing is None or self._writing.done():
            self.save()
        keeping = self._keeping
        if keeping is not None and keeping.done():
            self._keeping = None
            self._tell_of(keeping, "What is learnt", "save the model (Model) before you close.")

    def _wait(self) -> bool:
        """Wait for the file being written, report a failure, and return whether there was none."""
        writing, self._writing = self._writing, None
        if writing is None or not self._tell_of(
            writing, "What you paint", "export or save the labels from time to time."
        ):
            return True
        # The next time, it is tried again as if nothing had ever been saved.
        for document in list(self._saved):
            self._saved[document] = None
        self._authors.clear()
        return False

    def _tell_of(self, writing: Future[None], what: str, remedy: str) -> bool:
        """Report a failure to write once, and return whether there was one."""
        error = writing.exception()
        if error is None:
            return False
        if not isinstance(error, OSError):
            raise error
        if not self._has_failed:
            self._has_failed = True
            logger.warning("The work cannot be saved: %s", error)
            self.problem.emit(
                f"{what} should be saved in {self._written_to} while you work, but that failed "
                f"({error.strerror or error}). You can go on; {remedy}"
            )
        return True

    def _make_offer(self) -> None:
        self._offer = None if self._document is None else self._lacking(self._document)
        if self._offer is None:
            self.offered.emit("")
            return
        sentence = offer_sentence(len(self._offer.annotated), self._offer.taken_at)
        learnt = "" if self._training_of(self._offer) is None else " What was learnt from them is kept, too."
        self.offered.emit(sentence + learnt)

    def _training_of(self, snapshot: Snapshot) -> Path | None:
        return kept_training(self._sources[snapshot])

    def _is_kept(self, document: AnnotationDocument) -> bool:
        """Return whether a file holds all annotations of a document, after the present writing."""
        self._wait()
        here = document.snapshot()
        return any(kept.holds(here) for kept in self._kept(document.volume))

    def _let_go_of_others(self, volumes: Collection[Volume]) -> None:
        """Let other windows have the files of all volumes but these."""
        for volume in [one for one in self._files if one not in volumes]:
            # What is being written may be of that one.
            self._wait()
            self._files.pop(volume).release()

    def _lacking(self, document: AnnotationDocument) -> Snapshot | None:
        here = document.snapshot()
        return next((kept for kept in self._offers[document.volume] if not here.holds(kept)), None)

    def _kept(self, volume: Volume) -> Iterator[Snapshot]:
        # Work that was begun before the volume had a folder of its own lies where that of all others does.
        folders = dict.fromkeys((self._own_folders.get(volume, self._folder), self._folder))
        for path in (path for folder in folders for path in paintings(folder, fingerprint(volume))):
            try:
                snapshot = read_snapshot(path, volume.shape)
            except (OSError, InputError) as error:
                logger.warning("Saved painting is passed over: %s", error)
            else:
                self._sources[snapshot] = path
                yield snapshot

    def _file(self, volume: Volume) -> SaveFile:
        if volume not in self._files:
            own = self._own_folders.get(volume)
            self._files[volume] = SaveFile(own or self._folder, volume, for_good=own is not None)
        return self._files[volume]


def default_folder() -> Path:
    """Return where the system keeps data of applications of this user."""
    return user_data_path("napari-knowsam") / "autosave"


def offer_sentence(slices: int, when: datetime) -> str:
    """Say what can be restored.

    >>> from datetime import datetime
    >>> offer_sentence(7, datetime(2026, 11, 20, 14, 5))
    'You painted 7 slices of this image on 20 November, 14:05.'
    """
    painted = "one slice" if slices == 1 else f"{slices} slices"
    return f"You painted {painted} of this image on {when.day} {_MONTHS[when.month - 1]}, {when:%H:%M}."


def stayed_sentence(names: Sequence[str], *, is_kept: bool) -> str:
    """Say why layers stay though their images were closed, and how nothing of them is lost.

    >>> stayed_sentence(["heart prediction"], is_kept=True)
    'heart prediction stays: it shows what you corrected. That is saved, too: open the image again to go on with it.'
    """
    if is_kept:
        then = "That is saved, too: open the image again to go on with it."
    else:
        then = "That could not be saved by itself: save the layer (File, Save Selected Layers) before you close napari."
    stays = "stays: it shows" if len(names) == 1 else "stay: they show"
    return f"{' and '.join(names)} {stays} what you corrected. {then}"
