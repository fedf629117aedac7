from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from knowsam.data.annotation import BACKGROUND_CLASS, LabelArray, LabelClass
from knowsam.errors import OutputError
from knowsam.report_page import Segmented, write_report_page

if TYPE_CHECKING:
    from knowsam.data.volume import Volume

BALL = LabelClass(1, "ball <left>", (230, 75, 53))
PLAN = {
    "config": {"plane": {"max_side_px": 256}},
    "budget": {"seconds": 90.0, "steps": None},
    "teacher": None,
    "device": "cpu",
    "reasons": ["The budget is short."],
}


def page_of(folder: Path, image: Volume, labels: LabelArray, **changes: Any) -> str:
    segmented = Segmented(image, labels, (BACKGROUND_CLASS, BALL), 0, (4, 7), **changes)
    write_report_page(folder / "report.html", segmented)
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_page_has_the_measures_of_each_class(tmp_path: Path, ball: Volume, ball_labels: LabelArray) -> None:
    page = page_of(tmp_path, ball, ball_labels, probable_dice={1: 0.934})
    row = re.search(r"<tr><td>.*</tr>", page)
    assert row is not None
    name, volume, diameter, pieces, grey, dice = re.findall(r"<td.*?>(.*?)</td>", row[0])
    assert name.endswith("ball &lt;left&gt;")
    assert float(volume) == pytest.approx(4 / 3 * np.pi * 0.8**3, rel=0.05)
    assert float(diameter) == pytest.approx(16, abs=2)
    assert float(grey.split(" ± ")[0]) == pytest.approx(ball.array[ball_labels == 1].mean(), rel=1e-3)
    assert (pieces, dice) == ("1", "0.93")


def test_the_page_needs_no_other_file_and_shows_slices(tmp_path: Path, ball: Volume, ball_labels: LabelArray) -> None:
    page = page_of(tmp_path, ball, ball_labels)
    assert not re.search(r"(src|href)=\"(?!data:)|url\(|https?:", page)
    found = re.search(r"base64,([^\"]+)", page)
    assert found is not None
    pixels = np.asarray(Image.open(BytesIO(b64decode(found[1]))))
    assert (pixels == BALL.color).all(axis=-1).any()


def test_the_page_says_how_it_was_made(tmp_path: Path, ball: Volume, ball_labels: LabelArray) -> None:
    page = page_of(tmp_path, ball, ball_labels, plan=PLAN, warnings=("Slices <look> odd.",))
    assert "A person painted or corrected 2 of 12 slices: 5, 8." in page
    assert "Slices are counted from 1, the one nearest to the head." in page
    assert "Networks were trained on them for 90 s, on cpu, with no teacher." in page
    assert all(words in page for words in ("The budget is short.", "max_side_px", "Slices &lt;look&gt; odd.", "torch "))


def test_outlines_that_nobody_has_confirmed_are_distinguished_from_painted_ones(
    tmp_path: Path, ball: Volume, ball_labels: LabelArray
) -> None:
    page = page_of(tmp_path, ball, ball_labels, unconfirmed=(6,))
    assert "A person painted or corrected 2 of 12 slices: 5, 8." in page
    assert "SAM outlined structures in 1 of 12 slices: 7. Nobody has corrected or accepted these." in page


def test_only_a_dicom_image_is_named_since_files_are_called_after_patients(
    tmp_path: Path, ball: Volume, ball_labels: LabelArray
) -> None:
    image = replace(ball, name="Doe_Jane", folder=Path("/Doe"))
    assert "Doe" not in re.sub(r"base64,[^\"]+", "", page_of(tmp_path, image, ball_labels))
    (tmp_path / "report.html").unlink()
    assert "T1 post" in page_of(tmp_path, replace(image, name="T1 post", dicom_files=(Path("a"),)), ball_labels)


def test_an_empty_mask_has_no_pictures(tmp_path: Path, ball: Volume, ball_labels: LabelArray) -> None:
    assert "The mask is empty." in page_of(tmp_path, ball, np.zeros_like(ball_labels))


def test_a_page_that_is_there_and_another_ending_are_refused(
    tmp_path: Path, ball: Volume, ball_labels: LabelArray
) -> None:
    page_of(tmp_path, ball, ball_labels)
    with pytest.raises(OutputError, match="exists already"):
        page_of(tmp_path, ball, ball_labels)
    with pytest.raises(OutputError, match=r"must end in \.html"):
        write_report_page(tmp_path / "report.pdf", Segmented(ball, ball_labels, (BACKGROUND_CLASS, BALL), 0, ()))
