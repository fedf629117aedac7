"""`knowsam export`: a mask as a DICOM segmentation of the series it was made in."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from knowsam.commands.inputs import read_mask, told
from knowsam.data.identity import belonging
from knowsam.data.resample import widened
from knowsam.data.segment_terms import SegmentTerm, term_for
from knowsam.errors import ConfigError
from knowsam.io.dicom.seg_writer import check_dicom_seg_writable, segment_classes, write_dicom_seg
from knowsam.io.image import read_volume

if TYPE_CHECKING:
    from argparse import Namespace

    from knowsam.data.annotation import LabelClass


def run(options: Namespace) -> None:
    """Write the segmentation and print the term of each class.

    Raises
    ------
    ConfigError
        If a term is given for a value that the mask does not hold.
    """
    check_dicom_seg_writable(options.output, overwrite=options.overwrite)
    source = told(read_volume(options.source, options.pick))
    mask = read_mask(options.mask, ignore_identity=options.ignore_identity)
    mask = told(widened(belonging(mask, source), source.grid))
    given = dict(options.term)
    classes = [replace(c, name=given.get(c.value, c.name)) for c in segment_classes(mask)]
    unknown = given.keys() - {label_class.value for label_class in classes}
    if unknown:
        raise ConfigError(
            f"--term names the value {min(unknown)}, but {mask.name} holds "
            f"{', '.join(str(c.value) for c in classes) or 'none'}. Name values of the mask."
        )
    terms = {label_class.value: term_for(label_class.name) for label_class in classes}
    labels = replace(mask, classes=tuple(classes))
    write_dicom_seg(options.output, labels, source, terms, automatic=options.automatic, overwrite=options.overwrite)
    lines = [_described(label_class, terms[label_class.value]) for label_class in classes]
    sys.stdout.write("\n".join([*lines, f"Segmentation: {options.output}"]) + "\n")


def _described(label_class: LabelClass, term: SegmentTerm) -> str:
    code = f"SNOMED CT {term.type.value}" if term.is_standard else "no standard term, kept as your words"
    return f"{label_class.value:>5}  {label_class.name}: {term.words} ({code})"
