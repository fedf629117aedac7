"""`knowsam export`: a mask as a DICOM segmentation or structure set of its series, or as surfaces."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from knowsam.commands.inputs import notices_logged, read_mask
from knowsam.data.annotation import labelled_classes
from knowsam.data.identity import belonging
from knowsam.data.resample import widened
from knowsam.data.segment_terms import SegmentTerm, term_for
from knowsam.errors import ConfigError
from knowsam.io.dicom.rtstruct_writer import is_rtstruct_name, write_rtstruct
from knowsam.io.dicom.seg_writer import check_dicom_seg_writable, write_dicom_seg
from knowsam.io.image import read_volume
from knowsam.io.surface_file import is_surface_name, write_surfaces

if TYPE_CHECKING:
    from argparse import Namespace

    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Volume


def run(options: Namespace) -> None:
    """Write the kind of file that the output's name says, and print what was written.

    Raises
    ------
    ConfigError
        If a term is given for a value that the mask does not hold, or a DICOM file is wanted without its series.
    """
    filled = options.missing_as_background
    source = None
    if options.source is not None:
        source = notices_logged(read_volume(options.source, options.pick, missing_as_background=filled))
    mask = read_mask(options.mask, options, ignore_identity=options.ignore_identity)
    if source is not None:
        mask = notices_logged(widened(belonging(mask, source), source.grid))
    labels = _named(mask, dict(options.term))
    if is_surface_name(options.output):
        paths = write_surfaces(options.output, labels, overwrite=options.overwrite)
        lines = [f"Surface: {path}" for path in paths]
    elif source is not None:
        lines = _write_dicom(labels, source, options)
    else:
        raise ConfigError("The DICOM series that the mask was made in is required: --source FOLDER. Give its folder.")
    sys.stdout.write("\n".join(lines) + "\n")


def _named(mask: Volume, given: dict[int, str]) -> Volume:
    classes = labelled_classes(mask)
    unknown = given.keys() - {label_class.value for label_class in classes}
    if unknown:
        raise ConfigError(
            f"--term names the value {min(unknown)}, but {mask.name} holds "
            f"{', '.join(str(c.value) for c in classes)}. Name values of the mask."
        )
    return replace(mask, classes=tuple(replace(c, name=given.get(c.value, c.name)) for c in classes))


def _write_dicom(labels: Volume, source: Volume, options: Namespace) -> list[str]:
    path, automatic, overwrite = options.output, options.automatic, options.overwrite
    if is_rtstruct_name(path):
        write_rtstruct(path, labels, source, automatic=automatic, overwrite=overwrite)
        return [*(f"{one.value:>5}  {one.name}" for one in labels.classes), f"Structure set: {path}"]
    check_dicom_seg_writable(path, overwrite=overwrite)
    terms = {label_class.value: term_for(label_class.name) for label_class in labels.classes}
    write_dicom_seg(path, labels, source, terms, automatic=automatic, overwrite=overwrite)
    lines = [_described(label_class, terms[label_class.value]) for label_class in labels.classes]
    return [*lines, f"Segmentation: {path}"]


def _described(label_class: LabelClass, term: SegmentTerm) -> str:
    code = f"SNOMED CT {term.type.value}" if term.is_standard else "no standard term, kept as your words"
    return f"{label_class.value:>5}  {label_class.name}: {term.words} ({code})"
