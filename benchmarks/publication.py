"""What does the published training find in hearts? For whoever has ACDC and a GPU; nobody has run it to its end here.

Huang et al., IEEE TMI 2025, doi 10.1109/TMI.2025.3530097: slices of 256 x 256 pixels, 12 labelled and 12 unlabelled
ones a step, 50 000 steps, mixed ones from step 12 000, SAM ViT-B. The settings are those of `Config.paper()`, on whole
slices and without hold-out. Patients are split 70 : 10 : 20; 5 or 10 % of those that are trained on are labelled.

    python benchmarks/publication.py --data ACDC/training --run RUN --labelled-percent 10

The folder RUN has all that is needed to go on: the same command goes on with a training that was broken off, at its
last checkpoint. `log.csv` there has the losses of each step (on CUDA of the step before), `validation.json` the Dice on
the validation patients at each checkpoint, `results.json` the scores of each volume and class.

What the settings cannot express, or what is not known here of the publication:

- its results: `--published` takes them;
- which patients belong to which part: they are shuffled, `--split` takes other lists;
- how slices become squares: linearly, labels by the nearest pixel; predictions are scored on the pixels of the file;
- which weights were tested: those after the last step, and those that were best on the validation patients, both are;
- the distances: in voxels. HD95 is the larger percentile of both directions, ASD the mean over both surfaces;
- grid distortion in the strong augmentation, which has elastic distortion alone, and how often an image is changed: it
  always is;
- grey values: between the 0.5th and the 99.5th percentile of a volume;
- and what `docs/method.md` lists under "Where this departs from the publication" and is no setting: the loss of
  unlabelled pixels, consistency and distillation of all classes, plain fused logits, adapters that begin as identity,
  SAM's relative positions and pixel statistics, structures alone as prompts, no label outside the swapped cells of
  unlabelled slices.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from patients import Slices, Split, patients_of
from provenance import provenance
from result_store import ResultStore
from resumable import ResumableTraining
from tables import mean, table
from tasks import DataSet, find_data_set, mean_dice
from variants import published

from knowsam import jobs
from knowsam.data.annotation import LabelArray, LabelClass, class_indices, default_classes
from knowsam.inference.metrics import ClassScores, evaluate_masks
from knowsam.io.atomic import written_whole
from knowsam.models.download import sha256_of
from knowsam.models.published_weights import OFFICIAL
from knowsam.models.teacher_origin import TeacherOrigin
from knowsam.models.teachers import Teacher, choose_teacher
from knowsam.training.trained_model import TrainedModel, load_model, save_model

if TYPE_CHECKING:
    from knowsam.config import Config

STEPS, PATIENTS = 50_000, 100
LAST, BEST = "last step", "best on validation patients"
NOT_KNOWN = "not known here"


@dataclass(frozen=True)
class Validation:
    """Mean Dice on the validation patients at a checkpoint."""

    step: int
    dice: float

    @property
    def key(self) -> int:
        """The checkpoint."""
        return self.step


@dataclass(frozen=True)
class Result:
    """Scores of one volume, class by class; distances, in voxels, are None where a class was missed altogether."""

    weights: str
    step: int
    volume: str
    dice: tuple[float, ...]
    hd95_vx: tuple[float | None, ...]
    asd_vx: tuple[float | None, ...]

    @property
    def key(self) -> tuple[str, str]:
        """Whose scores these are."""
        return self.weights, self.volume


@dataclass(frozen=True)
class Protocol:
    """A run of the protocol: who is trained on and tested on, the settings, and the folder with all it leaves.

    Parameters
    ----------
    has_published_sam : whether the teacher has the official weights of SAM ViT-B.
    steps, every : in all, and between two checkpoints.
    """

    folder: Path
    data: DataSet
    split: Split
    config: Config
    teacher: Teacher
    has_published_sam: bool
    steps: int
    every: int
    seed: int
    device: str

    @property
    def side_px(self) -> int:
        """Height and width of a slice."""
        return self.config.plane.max_side_px

    @property
    def validations(self) -> ResultStore[Validation]:
        """Dice on the validation patients."""
        return ResultStore(self.folder / "validation.json", Validation)

    @property
    def results(self) -> ResultStore[Result]:
        """Scores of the tested patients."""
        return ResultStore(self.folder / "results.json", Result)

    @cached_property
    def training(self) -> ResumableTraining:
        """The training, with labels of some of its patients."""
        labelled, unlabelled = self.slices_of(self.split.labelled), self.slices_of(self.split.unlabelled)
        classes = _classes(labelled)
        cases = [one.case(self.side_px, classes, labelled=True) for one in labelled]
        cases += [one.case(self.side_px, classes, labelled=False) for one in unlabelled]
        how = self.config, self.teacher, self.steps, self.every, self.seed, self.device
        return ResumableTraining(self.folder, cases, *how)

    @cached_property
    def validated(self) -> list[Slices]:
        """Slices of the validation patients."""
        return self.slices_of(self.split.validation)

    def slices_of(self, patients: Sequence[str]) -> list[Slices]:
        """Read all volumes of some patients."""
        volumes = patients_of(self.data)
        return [Slices.read(self.data, volume) for patient in patients for volume in volumes[patient]]

    def keep_settings(self) -> None:
        """Keep what this run is of, or end the program if the folder has a run of something else."""
        settings: dict[str, Any] = {key: value for own in self.config.to_dict().values() for key, value in own.items()}
        settings |= {f"patients {part}": list(names) for part, names in asdict(self.split).items()}
        settings |= {"SAM": asdict(TeacherOrigin.of(self.config.teacher, self.teacher.weights))}
        settings |= {"steps": self.steps, "every": self.every, "seed": self.seed}
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "settings.json"
        kept = json.loads(file.read_text()) if file.exists() else settings
        if differing := [name for name in settings if kept.get(name) != settings[name]]:
            name = differing[0]
            sys.exit(
                f"{self.folder} has a run with {name} {kept.get(name)}, but now it is {settings[name]}. Give the "
                "command that this run was begun with, or another folder to --run."
            )
        with written_whole(file) as complete:
            complete.write_text(json.dumps(settings, indent=1))


def main() -> None:
    """Train, or go on training, then test, and print the table."""
    options = _parse()
    protocol = _protocol(options)
    protocol.keep_settings()
    _train(protocol)
    _test(protocol)
    print("\n".join([*provenance(f"seed {options.seed}"), *_report(protocol, options.published)]))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder training of ACDC, or one as for few_slices.py")
    parser.add_argument("--run", type=Path, required=True, metavar="FOLDER", help="for all that the run leaves")
    parser.add_argument("--labelled-percent", type=float, default=10, help="of the patients trained on (default: 10)")
    parser.add_argument("--split", type=Path, help="JSON with lists labelled, unlabelled, validation and tested")
    parser.add_argument("--teacher", default="vit_b", help="a file of SAM weights, or a name (default: vit_b)")
    parser.add_argument("--steps", type=int, default=STEPS, help="(default: 50000)")
    parser.add_argument("--every", type=int, default=1000, help="steps between two checkpoints (default: 1000)")
    parser.add_argument("--side", type=int, default=256, help="pixels of a slice along each side (default: 256)")
    parser.add_argument("--batch", type=int, default=12, help="labelled, and unlabelled, slices a step (default: 12)")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16", "auto"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--published",
        nargs=4,
        metavar=("DICE", "JACCARD", "HD95", "ASD"),
        help="of the publication's table, to compare",
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    return options


def _protocol(options: argparse.Namespace) -> Protocol:
    data, teacher = find_data_set(options.data), choose_teacher(options.teacher)
    patients = list(patients_of(data))
    if options.split is None:
        split = Split.of(patients, options.labelled_percent)
    else:
        split = Split.listed(json.loads(options.split.read_text()), patients)
    config = settings(
        variant=teacher.variant,
        max_side_px=options.side,
        labelled_batch=options.batch,
        unlabelled_batch=options.batch,
        precision=options.precision,
    )
    how = options.steps, options.every, options.seed, options.device
    return Protocol(options.run, data, split, config, teacher, is_published_sam(options.teacher), *how)


def is_published_sam(choice: str) -> bool:
    """Tell whether a teacher, by its name or in a file, has the official weights of SAM ViT-B."""
    file = Path(choice)
    (official,) = OFFICIAL["vit_b"].files
    return choice == "vit_b" or (file.is_file() and sha256_of(file) == official.sha256)


def settings(**changes: Any) -> Config:
    """Return the published settings for labelled volumes beside unlabelled ones, with some changed."""
    # A threshold that no volume reaches: all labelled slices are learnt from.
    return published({"whole_slices": True, "holdout_minimum": 1000, **changes})


def _classes(labelled: Sequence[Slices]) -> tuple[LabelClass, ...]:
    return default_classes(int(value) for one in labelled for value in np.unique(one.labels))


def _train(protocol: Protocol) -> None:
    training, validations = protocol.training, protocol.validations
    for checkpoint in training.checkpoints():
        model, step = checkpoint.model, checkpoint.model.steps
        if step not in validations:
            pairs = (_indices(model, one, protocol) for one in protocol.validated)
            dice = float(np.mean([mean_dice(*pair, len(model.classes)) for pair in pairs]))
            if all(dice > one.dice for one in validations.results):
                save_model(model, protocol.folder / "best.safetensors", overwrite=True)
            # After the model, so that it is validated anew if it was not written.
            validations.add(Validation(step, dice))
            pace = f"{checkpoint.seconds / step:.2f} s a step"
            print(f"step {step} of {protocol.steps}, {pace}, validation Dice {dice:.3f}", file=sys.stderr, flush=True)
        if step >= protocol.steps:
            save_model(model, protocol.folder / "last.safetensors", overwrite=True)


def _test(protocol: Protocol) -> None:
    results = protocol.results
    models = {LAST: "last.safetensors", BEST: "best.safetensors"}
    tested = protocol.slices_of(protocol.split.tested)
    for weights, model in ((weights, load_model(protocol.folder / file)) for weights, file in models.items()):
        for one in (one for one in tested if (weights, one.name) not in results):
            # An affine of ones, so that distances are in voxels.
            scores = evaluate_masks(*_indices(model, one, protocol), np.eye(4), range(1, len(model.classes)))
            results.add(_result(weights, model.steps, one.name, scores))


def _indices(model: TrainedModel, slices: Slices, protocol: Protocol) -> tuple[LabelArray, LabelArray]:
    """Return class indices (N, H, W), predicted and true, on the pixels of the file."""
    values, _ = jobs.predict(model, slices.volume(protocol.side_px), device=protocol.device)
    return class_indices(slices.restored(values), model.classes), class_indices(slices.labels, model.classes)


def _result(weights: str, step: int, volume: str, scores: Sequence[ClassScores]) -> Result:
    distances = zip(*((one.hd95_mm, one.assd_mm) for one in scores), strict=True)
    hd95_vx, asd_vx = (tuple(None if np.isnan(vx) else vx for vx in own) for own in distances)
    return Result(weights, step, volume, tuple(one.dice for one in scores), hd95_vx, asd_vx)


def _report(protocol: Protocol, known: Sequence[str] | None) -> Iterator[str]:
    split, results = protocol.split, protocol.results.results
    if different := departures(protocol):
        yield f"**This is not the published training**: {', '.join(different)}.\n"
    trained = len(split.labelled) + len(split.unlabelled)
    volumes = len({one.volume for one in results})
    yield (
        f"{protocol.data.name}: {len(split.labelled)} of {trained} patients labelled, "
        f"{len(split.validation)} for validation, {len(split.tested)} tested (volumes: {volumes})\n"
    )
    header = ["", "steps", "Dice %", "Jaccard %", "HD95 vx", "ASD vx"]
    rows = [["published (Huang et al. 2025)", f"{STEPS}", *(known or [NOT_KNOWN] * 4)]]
    rows += [_row(weights, [one for one in results if one.weights == weights]) for weights in (LAST, BEST)]
    yield table(header, rows) + "\n"
    if any(vx is None for one in results for vx in one.hd95_vx):
        yield "Missing distances are those of structures that were missed altogether.\n"
    yield "Said in the training, first at step:\n"
    yield "\n".join(f"- {note.step}: {note.text}" for note in protocol.training.notes.results)


def _row(weights: str, own: Sequence[Result]) -> list[str]:
    dice = [score for one in own for score in one.dice]
    return [
        f"found, {weights}",
        f"{own[0].step}",
        mean((100 * score for score in dice), 2),
        mean((100 * score / (2 - score) for score in dice), 2),
        mean((vx for one in own for vx in one.hd95_vx), 2),
        mean((vx for one in own for vx in one.asd_vx), 2),
    ]


def departures(protocol: Protocol) -> list[str]:
    """Say in what a run differs from the published one, as far as the options do that."""
    training = protocol.config.training
    expected = {
        f"{protocol.steps} of {STEPS} steps": protocol.steps == STEPS,
        f"slices of {protocol.side_px} px, not 256": protocol.side_px == 256,
        f"{training.labelled_batch} + {training.unlabelled_batch} slices a step, not 12 + 12": (
            training.labelled_batch == 12
        ),
        "another SAM than the official ViT-B": protocol.has_published_sam,
        f"{training.precision} arithmetic": training.precision == "float32",
        f"{len(patients_of(protocol.data))} of {PATIENTS} patients": len(patients_of(protocol.data)) == PATIENTS,
    }
    return [sentence for sentence, holds in expected.items() if not holds]


if __name__ == "__main__":
    main()
