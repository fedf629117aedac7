"""A page on one segmentation, for people: pictures, measures, how it was made, and nothing that names the patient."""

from __future__ import annotations

import json
import platform
from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from html import escape
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from knowsam.data.measurements import Measurement, measured
from knowsam.data.sampling import evenly
from knowsam.data.slice_number import slice_number
from knowsam.errors import OutputError
from knowsam.inference.picture import montage, png
from knowsam.io.atomic import check_place, output_written

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Volume

REPORT_PAGE_SUFFIX = ".html"

_MOST_PICTURES = 8
_FIRST = ("head", "front", "right side")
"""Where slices are counted from, along each working axis."""

_PACKAGES = ("napari-knowsam", "torch", "numpy", "scipy")
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>KnowSAM: $title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 60em; margin: 2em auto; padding: 0 1em; }
h1 { margin-bottom: 0; } h2 { margin-top: 2em; font-size: 1.2em; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; } th, td { padding: .3em 1em .3em 0; text-align: left; }
th { border-bottom: 1px solid #888; } .number { text-align: right; font-variant-numeric: tabular-nums; }
.swatch { display: inline-block; width: .9em; height: .9em; margin-right: .5em; border: 1px solid #555; }
.note, figcaption { color: #555; font-size: .9em; } .warning { color: #8a3b00; }
figure { margin: 1em 0; } img { max-width: 100%; } pre { font-size: .8em; overflow: auto; }
@media print { details { display: none; } }
</style>
</head>
<body>
<h1>Segmentation by KnowSAM</h1>
<p class="note">$subtitle</p>
<p class="warning">Made by research software: check every outline before you rely on a number.</p>
$warnings
<h2>Measurements</h2>
$measurements
<h2>Pictures</h2>
$pictures
<h2>How it was made</h2>
<ul>
$facts
</ul>
$settings
</body>
</html>
""")


@dataclass(frozen=True, eq=False)
class Segmented:
    """What a page tells of.

    Parameters
    ----------
    image : its name is shown only if it came from DICOM, where it is the description of the series.
    labels : (Z, Y, X), label values on the grid of the image.
    classes : background first.
    axis : working axis along which slices were painted.
    painted : indices of the slices a person has painted or corrected.
    probable_dice : between the painted slices, by label value; None without an estimate.
    plan : what ran, as `TrainingPlan.to_dict` says it; None without a training.
    warnings : sentences on what the reader must know.
    unconfirmed : indices of the slices with an outline of SAM that nobody has corrected or accepted.
    """

    image: Volume
    labels: NDArray[np.integer[Any]]
    classes: Sequence[LabelClass]
    axis: int
    painted: Collection[int]
    probable_dice: Mapping[int, float | None] = field(default_factory=dict)
    plan: Mapping[str, Any] | None = None
    warnings: Sequence[str] = ()
    unconfirmed: Collection[int] = ()


def is_report_page_name(path: Path) -> bool:
    """Return whether an output is a page, by its name."""
    return path.name.lower().endswith(REPORT_PAGE_SUFFIX)


def check_report_page_writable(path: Path, *, overwrite: bool = False) -> None:
    """Check before anything is computed that a page can be written to `path`.

    Raises
    ------
    OutputError
        If its name does not end in .html, the folder is missing or not writable, or the file exists and is to be kept.
    """
    if not is_report_page_name(path):
        raise OutputError(f"The report is to be called {path.name}, but must end in .html. Change the name.")
    check_place(path, overwrite=overwrite)


def write_report_page(path: Path, segmented: Segmented, *, overwrite: bool = False) -> None:
    """Write one HTML file that needs no other, whole or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written, or exists and is to be kept.
    """
    check_report_page_writable(path, overwrite=overwrite)
    title = segmented.image.name if segmented.image.dicom_files else "one volume"
    page = _PAGE.substitute(
        title=escape(title),
        subtitle=escape(_subtitle(segmented, title)),
        warnings="\n".join(f'<p class="warning">{escape(sentence)}</p>' for sentence in segmented.warnings),
        measurements=_measurements(segmented),
        pictures=_pictures(segmented),
        facts="\n".join(f"<li>{escape(fact)}</li>" for fact in _facts(segmented)),
        settings=_settings(segmented),
    )
    with output_written(path, overwrite=overwrite) as complete:
        complete.write_text(page, encoding="utf-8")


def _subtitle(segmented: Segmented, title: str) -> str:
    image = segmented.image
    voxels, spacing = (" x ".join(f"{part:.4g}" for part in one) for one in (image.shape, image.spacing_mm))
    return f"{title[:1].upper()}{title[1:]}, {voxels} voxels of {spacing} mm (z, y, x). {date.today():%d %B %Y}."


def _measurements(segmented: Segmented) -> str:
    image, shown = segmented.image, segmented.classes[1:]
    measures = measured(segmented.labels, image.affine, [one.value for one in shown], image.array)
    head = ("Class", "Volume, ml", "Largest diameter, mm", "Pieces", "Grey values, mean ± SD", "Probable Dice")
    rows = [_row(one, its, segmented.probable_dice) for one, its in zip(shown, measures, strict=True)]
    note = (
        "The largest diameter is that in any direction, from one piece to another if there are several: look for stray "
        "ones before you rely on it. Grey values are those of the image, in its own units. The probable Dice tells how "
        "far mask and truth probably overlap between the painted slices: 1 is perfect."
    )
    titles = "".join(f"<th{' class=number' * bool(column)}>{title}</th>" for column, title in enumerate(head))
    return f'<table>\n<tr>{titles}</tr>\n{"".join(rows)}</table>\n<p class="note">{note}</p>'


def _row(one: LabelClass, its: Measurement, dice: Mapping[int, float | None]) -> str:
    grey = "" if its.grey_mean is None else f"{its.grey_mean:.5g} ± {its.grey_sd:.3g}"
    known = dice.get(one.value)
    probable = f"{known:.2f}" if known is not None else ("cannot tell" if one.value in dice else "")
    cells = (f"{its.volume_ml:.2f}", f"{its.diameter_mm:.1f}", str(its.pieces), grey, probable)
    swatch = f'<span class="swatch" style="background: rgb{tuple(one.color)}"></span>'
    numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
    return f"<tr><td>{swatch}{escape(one.name)}</td>{numbers}</tr>\n"


def _pictures(segmented: Segmented) -> str:
    axis, labels = segmented.axis, segmented.labels
    held = np.flatnonzero(labels.any(axis=tuple(other for other in range(3) if other != axis))).tolist()
    if not held:
        return "<p>The mask is empty.</p>"
    # One more at both ends, where a mask that ends too early would be seen.
    first, last = max(held[0] - 1, 0), min(held[-1] + 1, labels.shape[axis] - 1)
    indices = evenly(range(first, last + 1), _MOST_PICTURES)
    picture = montage(
        segmented.image.array,
        labels,
        axis=axis,
        indices=indices,
        spacing_mm=segmented.image.spacing_mm,
        colors={one.value: one.color for one in segmented.classes[1:]},
        captions=[f"slice {slice_number(index)}{_origin(segmented, index)}" for index in indices],
    )
    caption = (
        f"{len(indices)} of {labels.shape[axis]} slices, counted from 1, the one nearest to the {_FIRST[axis]}. "
        "The patient's right is on the left of axial and coronal pictures."
    )
    encoded = b64encode(png(picture)).decode()
    drawn = f'<img alt="Slices with outlines" src="data:image/png;base64,{encoded}">'
    return f"<figure>{drawn}<figcaption>{caption}</figcaption></figure>"


def _origin(segmented: Segmented, index: int) -> str:
    """Return where the labels of a slice come from, as the end of its caption; nothing if they are predicted."""
    if index in segmented.unconfirmed:
        return ", outlined"
    return ", painted" * (index in segmented.painted)


def _facts(segmented: Segmented) -> list[str]:
    count = segmented.labels.shape[segmented.axis]
    facts = [f"A person painted or corrected {_some_of(segmented.painted, count)}."]
    if segmented.unconfirmed:
        outlined = _some_of(segmented.unconfirmed, count)
        facts.append(f"SAM outlined structures in {outlined}. Nobody has corrected or accepted these.")
    facts.append(f"Slices are counted from 1, the one nearest to the {_FIRST[segmented.axis]}.")
    if segmented.plan is None:
        facts.append(
            "No training of it has ended: the others were propagated from these, or predicted by an earlier model."
        )
    else:
        budget, teacher = segmented.plan["budget"], segmented.plan["teacher"]
        amount = f"{budget['seconds']:g} s" if budget["seconds"] is not None else f"{budget['steps']} steps"
        taught = "no teacher" if teacher is None else "a SAM as teacher"
        facts.append(f"Networks were trained on them for {amount}, on {segmented.plan['device']}, with {taught}.")
        facts += segmented.plan["reasons"]
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return [*facts, f"Versions: {versions}, Python {platform.python_version()}."]


def _some_of(indices: Collection[int], count: int) -> str:
    """Return how many of all slices some are, and which."""
    numbers = f": {', '.join(str(slice_number(index)) for index in sorted(indices))}" if indices else ""
    return f"{len(indices)} of {count} slices{numbers}"


def _settings(segmented: Segmented) -> str:
    if segmented.plan is None:
        return ""
    settings = escape(json.dumps(segmented.plan["config"], indent=1))
    return f"<details><summary>All settings</summary><pre>{settings}</pre></details>"
