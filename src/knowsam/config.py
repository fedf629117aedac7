"""Every default of the method, written once: value, range, unit, help and source.

Command-line options and forms are made from these fields, and the same object is stored with a trained model.
"paper" in a source is Huang et al., "Learnable Prompting SAM-induced Knowledge Distillation for Semi-supervised Medical
Image Segmentation", IEEE TMI 2025, doi 10.1109/TMI.2025.3530097; "measured" stands for a table in
`benchmarks/`; a default without a source is our own choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from knowsam.errors import ConfigError
from knowsam.setting import Section, public, setting


@dataclass(frozen=True)
class MethodConfig(Section):
    """The parts of KnowSAM, each one switch of the ablation."""

    semi_supervised: str = public(
        "mc",
        "How the students learn without labels: by agreement with each other (mc, of KnowSAM; cps), with their average "
        "(mean_teacher, ua_mt, ict), between scales (urpc), or not at all.",
        choices=("mc", "mean_teacher", "ua_mt", "cps", "ict", "urpc", "none"),
        source="paper",
    )
    distillation: bool | None = public(
        None,
        "Distil the SAM teacher into the students (SKD); auto: if SAM has official weights.",
        source="measured",
    )
    learnable_prompts: bool = public(True, "Let SAM learn prompt tokens for each class (LPS).", source="paper")
    mask_prompts: bool = public(True, "Prompt SAM with propagated or predicted masks (LPS).", source="paper")
    mixing: bool | None = public(
        None,
        "Swap confident cells between labelled and unlabelled slices (UGDA); auto: as for distillation.",
        source="measured",
    )
    shape_prior: bool = public(
        True,
        "Propagate painted labels to the slices between them: shown at once, and to the students.",
        source="measured",
    )


@dataclass(frozen=True)
class PlaneConfig(Section):
    """How a slice of the volume becomes a network plane."""

    neighbours: bool = public(True, "Show the network the slices above and below as channels.", source="measured")
    margin: float = public(0.25, "Margin round what was painted, as a fraction of its size.", low=0.0, high=2.0)
    min_margin_px: int = setting(8, "Smallest margin round what was painted.", unit="px", low=0, high=256)
    whole_slices: bool | None = public(None, "Learn from whole slices; auto: in `knowsam train`.", source="measured")
    max_side_px: int = public(96, "Longest side of the network plane.", unit="px", low=32, high=1024, source="measured")
    clip_percent: float = setting(
        0.5, "Darkest and brightest share of the voxels, clipped other than in CT.", unit="%", low=0.0, high=10.0
    )


@dataclass(frozen=True)
class PropagationConfig(Section):
    """How painted labels are propagated to other slices, and the weight of the students beside them.

    Lengths are relative to the side of a square as large as the network plane, which follows the size of the structure.
    """

    registration: bool = public(
        True,
        "Propagate labels along the tissue, by registration of neighbouring slices; off, interpolate them.",
        source="measured",
    )
    pretrained: bool = public(
        True,
        "Let the pretrained propagator correct propagated labels; off, show them as they are.",
        source="measured",
    )
    reach: float = setting(
        0.04, "Radius of the neighbourhood that moves together.", low=0.005, high=0.5, source="measured"
    )
    softness: float = setting(
        0.04, "Distance over which a structure fades into the next.", low=0.005, high=0.5, source="measured"
    )
    fade: float = setting(
        1.0, "How fast a shape shrinks beyond the outermost painted slice, in mm for each mm.", low=0.0, high=10.0
    )
    pseudo_label_weight: float = setting(
        0.3, "Weight of propagated labels as pseudo-labels of unlabelled slices.", low=0.0, high=10.0, source="measured"
    )
    full_mixing_share: float = setting(
        0.15, "Share of annotated slices shown with nothing but the labels propagated to them.", low=0.0, high=1.0
    )
    prior_dropout: float = setting(
        0.1, "Share of slices shown to the students without propagated labels.", low=0.0, high=1.0
    )
    student_weight: float = setting(
        0.5,
        "Largest weight of the students beside propagated labels; at most 0.3 beyond the outermost painted slices.",
        low=0.0,
        high=1.0,
        source="measured",
    )
    half_distance_slices: float = setting(
        2.0,
        "Distance from the nearest painted slice at which the students have half of their weight.",
        unit="slices",
        low=0.0,
        high=100.0,
        source="measured",
    )


@dataclass(frozen=True)
class StudentConfig(Section):
    """The two students and their fusion."""

    width: int = public(16, "Channels of the first level of UNet and VNet.", low=4, high=64, source="paper")
    norm: str = public("batch", "Normalisation layer.", choices=("batch", "group", "instance"), source="paper")
    dropout: float = setting(
        1.0, "Factor on the dropout rates 0.05 to 0.5 of the five levels.", low=0.0, high=1.8, source="paper"
    )


@dataclass(frozen=True)
class TeacherConfig(Section):
    """The SAM teacher."""

    variant: str = public(
        "compact",
        "SAM variant: the weights of compact come with the program, the others need their official ones.",
        choices=("none", "compact", "vit_b", "vit_l", "vit_h", "mobile_sam", "sam2", "edgetam"),
    )
    adapter_ratio: float = setting(
        0.25, "Bottleneck width of the adapters, relative to the encoder.", low=0.01, high=1.0, source="paper"
    )
    mlp_adapter_scale: float = setting(0.5, "Weight of the adapter beside the MLP.", low=0.0, high=2.0, source="paper")
    prompt_tokens: int = setting(2, "Learnable prompt tokens for each class.", low=1, high=16, source="paper")
    adapted_blocks: int = public(
        4, "Last encoder blocks of a pretrained SAM that get adapters; 0 stands for all of them.", low=0, high=32
    )
    cache_trunk: bool = setting(
        True, "Run the frozen blocks before the first adapted one once for each slice and keep what they give."
    )
    trunk_memory_mib: int = setting(
        1024, "What the frozen blocks gave is kept in memory up to this size.", unit="MiB", low=0, high=1 << 20
    )
    trunk_disk_mib: int = public(
        8192,
        "What the memory does not hold is kept in files in the user's cache folder, up to this size; 0 keeps none.",
        unit="MiB",
        low=0,
        high=1 << 20,
    )
    teacher_in_turn: str = setting(
        "pretrained",
        "Which SAM looks at a few slices in each step and is remembered, instead of looking at every image.",
        choices=("pretrained", "always", "never"),
        source="measured",
    )
    teacher_slices: int = setting(1, "Annotated slices that the teacher learns from in a step.", low=1, high=64)
    teacher_refreshes: int = setting(
        1, "Slices of a batch that the teacher looks at anew in a step, longest unseen first.", low=1, high=64
    )
    teacher_refresh_after: int = setting(
        16, "Steps after which the teacher looks at a slice anew.", unit="steps", low=1, high=100_000
    )


@dataclass(frozen=True)
class LossConfig(Section):
    """Weights of the loss terms."""

    entropy_weight: float = setting(0.9, "Weight of the entropy term.", low=0.0, high=10.0, source="paper")
    consistency_peak: float = setting(
        1.0, "Weight of the consistency term at the end of its ramp.", low=0.0, high=10.0, source="paper, 0.1 x 10"
    )
    ramp_steepness: float = setting(5.0, "Steepness of the consistency ramp.", low=0.0, high=20.0, source="paper")
    distillation_weight: float = setting(1.0, "Weight of the distillation term.", low=0.0, high=10.0, source="paper")
    temperature: float = setting(10.0, "Temperature of the distillation.", low=1.0, high=100.0, source="paper")


@dataclass(frozen=True)
class MixingConfig(Section):
    """Uncertainty-guided mixing of labelled and unlabelled slices."""

    start: float = setting(0.24, "Training progress at which mixing begins.", low=0.0, high=1.0, source="paper")
    grid: int = setting(4, "Cells along each side of the plane.", low=2, high=16, source="paper")
    cells: int = setting(5, "Confident cells swapped in each slice.", low=1, high=64, source="paper")
    mix_every: int = setting(
        2,
        "Mix in one of this many steps; the students see the mixed slices once more, which takes its time.",
        low=1,
        high=100,
        source="measured",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if 16 % self.grid:
            raise ConfigError(f"grid is {self.grid}, but must divide 16, as every plane does. Choose 2, 4, 8 or 16.")


@dataclass(frozen=True)
class AugmentConfig(Section):
    """Random changes of the training slices; `strong_*` apply to unlabelled slices only."""

    flip: float = public(0.0, "Probability of each of the two flips.", low=0.0, high=0.5, source="measured")
    shift: float = setting(0.06, "Largest shift, relative to the plane.", low=0.0, high=0.5, source="paper")
    scale: float = setting(0.05, "Largest change of size.", low=0.0, high=0.5, source="paper")
    rotate_deg: float = public(10.0, "Largest rotation.", unit="degrees", low=0.0, high=180.0, source="paper")
    elastic: float = setting(
        0.0, "Largest elastic displacement of annotated slices, relative to the plane.", low=0.0, high=0.2
    )
    intensity: float = setting(0.2, "Largest change of brightness and contrast.", low=0.0, high=1.0)
    strong_elastic: float = setting(0.03, "Largest elastic displacement, relative to the plane.", low=0.0, high=0.2)
    strong_cutout: float = setting(0.25, "Side of the square cut out, relative to the plane.", low=0.0, high=0.9)


@dataclass(frozen=True)
class TrainingConfig(Section):
    """Optimisation and sampling."""

    labelled_batch: int = public(2, "Annotated slices in a step.", low=1, high=64)
    unlabelled_batch: int = public(2, "Unlabelled slices in a step.", low=1, high=64)
    optimizer: str = public("adamw", "Optimiser of the students.", choices=("adamw", "sgd"), source="measured")
    learning_rate: float = public(2e-3, "Learning rate of the students.", low=1e-6, high=1.0)
    adaptation: float = setting(
        0.1,
        "Factor on the students' learning rate where training goes on from a model of other volumes.",
        low=0.001,
        high=1.0,
        source="measured",
    )
    adaptation_minimum: int = setting(
        12,
        "Annotated slices from which on a model of other volumes learns from them; from fewer it forgets more.",
        low=1,
        high=1000,
        source="measured",
    )
    weight_decay: float = setting(1e-4, "Weight decay of the students.", low=0.0, high=1.0, source="paper")
    adapter_learning_rate: float = setting(
        1e-4, "Learning rate of adapters and prompts round a pretrained SAM.", low=1e-6, high=1.0, source="paper"
    )
    scratch_learning_rate: float = setting(
        5e-4, "Learning rate of a SAM that is trained from scratch.", low=1e-6, high=1.0
    )
    gradient_norm: float = setting(
        2.0, "Largest norm of the gradient, of students and of teacher; longer ones are shortened.", low=0.01, high=1e6
    )
    averaging: float = setting(
        0.98,
        "Share of the averaged students that a step keeps; 0 predicts with the last ones.",
        low=0.0,
        high=0.9999,
        source="measured",
    )
    precision: str = public(
        "auto", "Arithmetic; auto takes bfloat16 where the processor has it.", choices=("auto", "float32", "bfloat16")
    )
    channels_last: bool = setting(
        True, "Lay the students out channels last, which is faster with batch normalisation.", source="measured"
    )
    holdout_every: int = public(
        5, "One in this many annotated slices is kept for validation.", low=2, high=100, source="docs/method.md"
    )
    holdout_minimum: int = setting(
        8, "Annotated slices needed before any is kept for validation.", low=2, high=1000, source="measured"
    )
    holdout_noise: float = setting(
        0.1,
        "Fall of the held-out Dice, times the root of the number of slices, that still counts as not worse.",
        low=0.0,
        high=1.0,
        source="measured",
    )
    validations: int = setting(
        8,
        "Validations in a run, at least; beside propagated labels the students have a weight from the second on.",
        low=1,
        high=1000,
    )
    validate_every_s: float = setting(
        4.0, "Longest time between two validations, where the budget is one of time.", unit="s", low=0.1, high=3600.0
    )
    refresh_share: float = setting(
        0.25, "Share of the time that live predictions may take while training.", low=0.01, high=0.9
    )


@dataclass(frozen=True)
class PredictionConfig(Section):
    """From network output to mask."""

    largest_component: bool = public(False, "Keep the largest connected piece of each class.", source="paper")
    fill_holes: bool = public(False, "Fill holes enclosed by one class.")
    beyond_ends: bool = public(
        True, "Predict each structure beyond the outermost slices it is painted in; switch it off where it ends there."
    )
    keep_annotations: bool = public(True, "Keep what was painted exactly as painted in the resulting mask.")


@dataclass(frozen=True)
class Config:
    """All settings of one training, by section."""

    method: MethodConfig = field(default_factory=MethodConfig)
    plane: PlaneConfig = field(default_factory=PlaneConfig)
    propagation: PropagationConfig = field(default_factory=PropagationConfig)
    students: StudentConfig = field(default_factory=StudentConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    mixing: MixingConfig = field(default_factory=MixingConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    prediction: PredictionConfig = field(default_factory=PredictionConfig)

    def sections(self) -> Iterator[tuple[str, Section]]:
        """Yield the name and the content of each section."""
        for section_field in fields(self):
            yield section_field.name, getattr(self, section_field.name)

    def with_values(self, **values: Any) -> Config:
        """Return a copy with single settings changed, by their names, whatever section they stand in.

        Raises
        ------
        ConfigError
            If a name is unknown or a value is out of range.

        >>> Config().with_values(mixing=False, learning_rate=0.01).training.learning_rate
        0.01
        """
        changed: dict[str, Any] = {}
        unknown = set(values)
        for name, section in self.sections():
            own = {key: values[key] for key in values if key in {f.name for f in fields(section)}}  # type: ignore[arg-type]
            unknown -= set(own)
            if own:
                changed[name] = replace(section, **own)  # type: ignore[type-var]
        if unknown:
            raise ConfigError(f"There is no setting named {', '.join(sorted(unknown))}. See --help-all.")
        return replace(self, **changed)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return the settings as plain nested dicts, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Mapping[str, Any]]) -> Config:
        """Rebuild the settings from `to_dict`; a setting that is not stored keeps its default.

        Raises
        ------
        ConfigError
            If a stored setting is unknown to this version.
        """
        flat = {key: value for section in stored.values() for key, value in section.items()}
        return cls().with_values(**flat)

    @classmethod
    def paper(cls) -> Config:
        """Return the settings of the publication: 256 px planes, 12 + 12 slices a step, SGD."""
        return cls().with_values(
            shape_prior=False,
            distillation=True,
            mixing=True,
            neighbours=False,
            max_side_px=256,
            flip=0.5,
            labelled_batch=12,
            unlabelled_batch=12,
            optimizer="sgd",
            learning_rate=1e-2,
            variant="vit_b",
            adapted_blocks=0,
            teacher_in_turn="never",
            channels_last=False,
            mix_every=1,
            averaging=0.0,
            gradient_norm=1e6,
            precision="float32",
        )
