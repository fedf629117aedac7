"""A file is not called damaged without a trace of what made us say so."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from knowsam.damage import damage_error
from knowsam.errors import CheckpointError, InputError
from knowsam.io.dicom import header
from knowsam.io.image import read_image
from knowsam.io.labels import read_labels
from knowsam.io.sample import sample_folder

HINT = "newer version of a library"


def test_the_log_has_type_and_place_but_no_value(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "knowsam")
    try:
        int("Doe^Jane")
    except ValueError as cause:
        error = damage_error("It is damaged.", cause, CheckpointError)
    assert (type(error), str(error)) == (CheckpointError, "It is damaged.")
    assert "ValueError was taken for damage: knowsam/test_damage_error.py:" in caplog.text
    assert "Doe" not in caplog.text


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha"])
def test_every_reader_leaves_the_place_in_the_log(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "knowsam")
    (tmp_path / name).write_text("DimSize = x\nElementDataFile = LOCAL\n" if name == "a.mha" else "NRRD0004\n")
    with pytest.raises(InputError) as raised:
        read_labels(tmp_path / name)
    assert "was taken for damage" in caplog.text
    assert HINT not in str(raised.value)


def test_a_call_that_a_newer_library_does_not_understand_is_hinted_at(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "knowsam")
    monkeypatch.setattr(header, "read_dataset", lambda: None)
    with pytest.raises(InputError, match=HINT):
        read_image(sample_folder() / "phantom_dicom")
    assert "TypeError was taken for damage" in caplog.text
    assert "dicom/header.py" in caplog.text
