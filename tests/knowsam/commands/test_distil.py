"""A SAM is distilled from images without labels, and the result teaches."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from mobile_sam_file import save_mobile_sam
from sam2_folder import save_silently, tiny_edgetam, tiny_sam2

from knowsam.commands import distil
from knowsam.distillation.distillation import Distillation, Step
from knowsam.models.sam import VARIANTS, SamVariant, build_sam
from knowsam.models.teachers import choose_teacher

if TYPE_CHECKING:
    from knowsam.training.schedule import Budget

DISTIL = "distil {f}/teacher.pth {f}/image.nii.gz -o {f}/small.safetensors --steps 2 --device cpu"


@pytest.fixture
def teacher(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of a small SAM of the official layout, which counts as ViT-B, at random."""
    monkeypatch.setitem(VARIANTS, "vit_b", SamVariant(32, 2, 2, global_attention=(1,), decoder_mlp_dim=32))
    torch.save(build_sam(VARIANTS["vit_b"], (64, 64)).state_dict(), folder / "teacher.pth")
    return folder / "teacher.pth"


def test_what_is_distilled_teaches(folder: Path, teacher: Path, knowsam: Callable[[str], int]) -> None:
    assert knowsam(DISTIL) == 0
    assert choose_teacher(str(folder / "small.safetensors")).variant == "compact"
    segment = "segment {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/out.nii.gz --report {f}/report.json"
    quick = "--steps 1 --width 4 --max-side-px 32 --precision float32 --device cpu"
    assert knowsam(f"{segment} {quick} --distillation --teacher {{f}}/small.safetensors") == 0
    assert "SAM compact, 1.5 M parameters, pretrained" in " ".join(
        json.loads((folder / "report.json").read_text())["notices"]
    )


def test_the_report_says_how_far_both_agree_and_names_no_file(
    folder: Path, teacher: Path, knowsam: Callable[[str], int], caplog: pytest.LogCaptureFixture
) -> None:
    assert knowsam(DISTIL + " --report {f}/report.json") == 0
    text = (folder / "report.json").read_text()
    report = json.loads(text)
    assert (report["teacher"], report["learnt_slices"], report["held_out_slices"]) == ("vit_b", 4, 2)
    assert len(report["losses"]) == 2
    for moment in ("before", "after"):
        assert all(np.isfinite(list(report[moment].values())))
        assert f"{report[moment]['one_click']:.3f}" in caplog.text
    assert min(report["teacher_ms"], report["student_ms"]) > 0
    assert not [name for name in (str(folder), "image", "small") if name in text]


def test_ctrl_c_keeps_the_model(
    folder: Path,
    teacher: Path,
    knowsam: Callable[[str], int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learn = Distillation.learn

    def learn_and_interrupt(distillation: Distillation, budget: Budget) -> Iterator[Step]:
        for step in learn(distillation, budget):
            signal.raise_signal(signal.SIGINT)
            yield step

    monkeypatch.setattr(Distillation, "learn", learn_and_interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert knowsam(DISTIL.replace("--steps 2", "--budget 1h") + " --report {f}/report.json") == 0
    finally:
        signal.signal(signal.SIGINT, before)
    report = json.loads((folder / "report.json").read_text())
    assert report["stopped_by_user"] is True
    assert len(report["losses"]) == 1
    assert (folder / "small.safetensors").is_file()
    assert "press Ctrl-C again to abort" in capsys.readouterr().err


@pytest.mark.parametrize("number", [0, 2])
def test_slices_lie_along_the_axis_of_the_file_that_is_named(
    teacher: Path,
    knowsam: Callable[[str], int],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    monkeypatch.setattr(distil, "_learn", lambda *_: ([], False))
    assert knowsam(f"{DISTIL} --axis {number}") == 0
    assert {0: "17 slices of 32 x 32 px to learn from, 5 held out", 2: "4 slices of 32 x 32 px"}[number] in caplog.text


@pytest.mark.parametrize("kind", ["sam2", "edgetam", "mobile_sam"])
def test_a_network_of_another_kind_is_distilled_from_its_folder_or_file(
    folder: Path, knowsam: Callable[[str], int], kind: str
) -> None:
    if kind == "mobile_sam":
        place = save_mobile_sam(folder)
    else:
        if kind == "edgetam":
            pytest.importorskip("timm")
        place = save_silently(tiny_sam2() if kind == "sam2" else tiny_edgetam(), folder / kind)
    assert knowsam(DISTIL.replace("teacher.pth", place.name) + " --report {f}/report.json") == 0
    report = json.loads((folder / "report.json").read_text())
    assert (report["teacher"], len(report["losses"])) == (kind, 2)
    assert all(np.isfinite(list(report[moment].values())).all() for moment in ("before", "after"))
    assert choose_teacher(str(folder / "small.safetensors")).variant == "compact"


@pytest.mark.parametrize("teacher_choice", ["none", "scratch"])
def test_who_has_learnt_nothing_teaches_nothing(
    knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str], teacher_choice: str
) -> None:
    assert knowsam(DISTIL.replace("{f}/teacher.pth", teacher_choice)) == 2
    assert "has learnt nothing, so it has nothing to teach. Choose compact or one of vit_b" in capsys.readouterr().err
