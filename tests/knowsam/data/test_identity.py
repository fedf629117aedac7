"""Whose labels may lie on whose image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from knowsam.data.identity import NOBODY, Identity, belonging
from knowsam.data.volume import Grid, Volume
from knowsam.errors import InputError

OURS = Identity("4711", "doe^jane", "1.2.1", "1.2.3", frozenset({"1.2.2"}))
GRID = Grid((2, 2, 2), np.eye(4))


def volume(identity: Identity) -> Volume:
    return Volume(np.zeros((2, 2, 2), np.uint8), GRID, "named", identity=identity)


@pytest.mark.parametrize(
    "labels",
    [
        OURS,
        NOBODY,
        replace(OURS, series=frozenset({"1.2.9"})),
        replace(OURS, patient_id="", patient_name="", frame_of_reference=""),
        replace(OURS, study="1.2.9", frame_of_reference=""),
        replace(OURS, patient_id="", patient_name="anonymous"),
        replace(OURS, patient_name="smith^jane"),
    ],
    ids=["same", "nobody", "other series", "says little", "other study of the series", "anonymised", "married"],
)
def test_labels_that_may_belong_to_an_image_are_taken_as_they_are(labels: Identity) -> None:
    given = volume(labels)
    assert belonging(given, volume(OURS)) is given
    assert belonging(volume(OURS), given).notices == ()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (replace(OURS, patient_id="4712"), "different patients"),
        (replace(OURS, patient_id="", patient_name="doe^john", series=frozenset()), "different patients"),
        (replace(OURS, frame_of_reference="1.2.9"), "different frames of reference"),
        (replace(OURS, study="1.2.9", frame_of_reference="", series=frozenset({"1.2.9"})), "different studies"),
    ],
)
def test_labels_of_somebody_else_are_refused_without_a_word_of_whom(labels: Identity, message: str) -> None:
    for first, second in ((labels, OURS), (OURS, labels)):
        with pytest.raises(InputError, match=message) as refused:
            belonging(volume(first), volume(second))
        assert not any(secret in str(refused.value) for secret in ("4711", "4712", "doe", "1.2."))


def test_another_study_in_the_same_frame_of_reference_is_accepted_with_a_notice() -> None:
    labels = belonging(volume(replace(OURS, study="1.2.9", series=frozenset({"1.2.8"}))), volume(OURS))
    assert "another study" in labels.notices[0]


def test_an_identity_shows_nothing_of_itself() -> None:
    assert repr(OURS) == "Identity()"
