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
from knowsam.errors import ConfigError, OutputError
from knowsam.io.dicom.rtstruct_writer import is_rtstruct_name, write_rtstruct
from knowsam.io.dicom.seg_writer import check_dicom_seg_writable, is_dicom_seg_name, write_dicom_seg
from knowsam.io.image import read_volume
from knowsam.io.source_file import refuse_inputs
from knowsam.io.surface_file import is_surface_name, write_surfaces

if TYPE_CHECKING:
    from argparse import Namespace

    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Volume


def run(options: Namespace) -> None:
    """Write the kind of file in the output's name, and print the written classes or files.

    Raises
    ------
    ConfigError
        If a term is given for a value that the mask does not hold, or a DICOM file is wanted without its series.
    OutputError
        If the output is no name for any of them, or that of the mask.
    """
    terms = _terms(options)
    _check_output(options)
    filled = options.missing_as_background
    source = None
    if options.source is not None:
        source = notices_logged(read_volume(options.source, options.pick, missing_as_background=filled))
    mask = read_mask(options.mask, options, ignore_identity=options.ignore_identity)
    if source is not None:
        mask = notices_logged(widened(belonging(mask, source), source.grid))
    labels = _named(mask, terms)
    if is_surface_name(options.output):
        paths = write_surfaces(options.output, labels, overwrite=options.overwrite)
        lines = [f"Surface: {path}" for path in paths]
    else:
        assert source is not None  # as was checked
        lines = _write_dicom(labels, source, options)
    sys.stdout.write("\n".join(lines) + "\n")


def _terms(options: Namespace) -> dict[int, str]:
    terms = dict(options.term)
    if len(terms) < len(options.term):
        raise ConfigError("--term names one value twice. Name each value of the mask once.")
    return terms


def _check_output(options: Namespace) -> None:
    path = options.output
    if not is_surface_name(path) and not is_dicom_seg_name(path):
        raise OutputError(
            f"The result is to be called {path.name}, but must end in .dcm, .rtstruct.dcm, .stl or .obj. Change the "
            "name."
        )
    if options.source is None and not is_surface_name(path):
        raise ConfigError("The DICOM series that the mask was made in is required: --source FOLDER. Give its folder.")
    refuse_inputs(path, [options.mask])


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
