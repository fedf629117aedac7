"""What is changed of the default settings in the rows that ask what a part or a setting is worth."""

from __future__ import annotations

from typing import Any

from knowsam.config import Config

BUILD_UP: dict[str, dict[str, Any]] = {
    "propagation + students": {"semi_supervised": "none", "mixing": False, "variant": "none"},
    "+MC": {"mixing": False, "variant": "none"},
    "+SKD": {"distillation": True, "mixing": False, "learnable_prompts": False},
    "+LPS": {"distillation": True, "mixing": False},
    "+UGDA": {"distillation": True, "mixing": True},
}
"""Each row adds a part of KnowSAM to the row before, beginning with propagated labels and students that learn alone.

In a minute "+MC" is ours; the parts after it are left out of so short a budget unless they are asked for.

SKD alone prompts SAM with the students' masks, since without any prompt it could not tell the classes apart.
"""

VARIANTS: dict[str, dict[str, Any]] = {
    "without propagator": {"pretrained": False},
    "without prior": {"shape_prior": False},
    "without registration": {"registration": False},
    "without pseudo-labels": {"pseudo_label_weight": 0.0},
    "without MC": {"semi_supervised": "none"},
    "with SKD, LPS and UGDA": {"distillation": True, "mixing": True},
    "with SKD and LPS": {"distillation": True, "mixing": False},
    "with UGDA": {"mixing": True, "variant": "none"},
    "with hold-out from 5 slices": {"holdout_minimum": 5},
    "without neighbours": {"neighbours": False},
    "without averaging": {"averaging": 0.0},
    "without hold-out": {"holdout_minimum": 1000},
    "without hold-out noise": {"holdout_noise": 0.0},
    "without dropout": {"dropout": 0.0},
    "with flips": {"flip": 0.5},
    "with elastic annotated slices": {"elastic": 0.03},
    "with group norm": {"norm": "group"},
    "with SGD as published": {"optimizer": "sgd", "learning_rate": 1e-2},
    "with learning rate 5e-4": {"learning_rate": 5e-4},
    "with learning rate 8e-3": {"learning_rate": 8e-3},
    "with batch 4 + 4": {"labelled_batch": 4, "unlabelled_batch": 4},
    "with compact SAM at 2e-3": {"scratch_learning_rate": 2e-3},
    "with plane of 64 px": {"max_side_px": 64},
    "with plane of 128 px": {"max_side_px": 128},
    "with entropy weight 0.1": {"entropy_weight": 0.1},
    "with margin of half": {"margin": 0.5},
    "with teacher in turn": {"teacher_in_turn": "always"},
    "with teacher in turn, learning from two": {"teacher_in_turn": "always", "teacher_slices": 2},
    "with SKD, LPS and UGDA, mixing in every step": {"distillation": True, "mixing": True, "mix_every": 1},
    "with channels first": {"channels_last": False},
}
"""Each row changes one thing of the default settings."""

PUBLISHED: dict[str, Any] = {
    "variant": "compact",
    "labelled_batch": 2,
    "unlabelled_batch": 2,
    "precision": "auto",
}
"""What is changed of the published settings, without which a minute of a CPU would end in the first steps.

There are no pretrained weights, so that SAM is the compact one, trained from scratch; batches are 2 + 2 slices instead
of 12 + 12.
"""


def ours(changes: dict[str, Any]) -> Config:
    """Return our default settings with some changed."""
    return Config().with_values(**changes)


def published(changes: dict[str, Any]) -> Config:
    """Return the published settings with some changed."""
    return Config.paper().with_values(**changes)
