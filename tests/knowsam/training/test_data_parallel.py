"""Two processes train as one does, come to the same decisions, and end together.

Starting a process takes seconds, so that all that is to be seen of two is seen of one pair.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from knowsam.data.annotation import Annotation
from knowsam.data.case import Case
from knowsam.data.volume import Grid, Volume
from knowsam.errors import ConfigError, InputError, TrainingError
from knowsam.jobs import train
from knowsam.models.students import Students
from knowsam.models.teachers import Teacher
from knowsam.training.data_parallel import DataParallel, in_processes
from knowsam.training.events import Event, Finished, Notice, StepDone, Stop
from knowsam.training.processes import Processes
from knowsam.training.schedule import Budget

pytest.importorskip("lightning_fabric")

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.training.session import TrainingSession

EXACT = {"norm": "group", "dropout": 0.0, "optimizer": "sgd", "teacher_in_turn": "never", "start": 0.0, "mix_every": 1}
"""Settings with which nothing depends on how a batch is shared out."""

JOINED = {"labelled_batch": 4, "unlabelled_batch": 4}
"""What two processes see of two annotated and two unlabelled slices each."""

PLAIN = {"distillation": False, "mixing": False}


METHODS = ("ua_mt", "ict", "urpc")
"""Methods with noise on the images, with random mixtures and a second pass, and with parameters of their own."""


@dataclass(frozen=True)
class Training:
    """What a training has come to; the weights are those of the averaged students and of the teacher."""

    losses: list[dict[str, float]]
    notices: list[str]
    finished: Finished
    weights: dict[str, Tensor]


@dataclass(frozen=True)
class Seen:
    """What the first of two processes has seen."""

    exact: Training
    by_method: dict[str, Training]
    short_of_memory: Training
    stopped: Training
    damaged: Exception
    damaged_elsewhere: Exception
    no_room: Exception
    defect: Exception


SEEN: list[Seen] = []


def _by(method: str) -> dict[str, Any]:
    """Return settings in which nothing but the method teaches; all the time, and certain of everything."""
    return PLAIN | {"semi_supervised": method, "ramp_steepness": 0.0}


def box() -> Case:
    """Return (6, 32, 32) voxels of noise with a bright box in slices 1 to 4, all of which are painted."""
    labels = np.zeros((6, 32, 32), np.uint8)
    labels[1:5, 8:20, 10:24] = 1
    image = np.random.default_rng(0).normal(size=labels.shape) + 3 * labels
    volume = Volume(image.astype(np.float32), Grid((32, 32, 6), np.eye(4)), "box")
    return Case(volume, Annotation.from_labels(labels, axis=0))


def trained(
    config: Config, processes: Processes, *, budget: Budget | None = None, stop_after: int | None = None
) -> Training:
    """Train, and make sure that the weights of all processes are the same afterwards."""
    events: list[Event] = []

    def listen(session: TrainingSession, event: Event) -> None:
        events.append(event)
        if isinstance(event, StepDone) and event.step == stop_after and processes.is_first:
            session.submit(Stop())

    session = train(
        [box()],
        budget=budget or Budget(steps=2),
        config=config,
        teacher=Teacher(config.teacher.variant),
        device="cpu",
        listener=listen,
        processes=processes,
    )
    learner = session.trainer.learner
    weights = {name: tensor.clone() for name, tensor in learner.averaged.state_dict().items()}
    weights |= {f"teacher.{name}": tensor for name, tensor in learner.teacher_state().items()}
    first = processes.first_decides(lambda: weights)
    processes.together(lambda: torch.testing.assert_close(weights, first))
    losses = [asdict(event.losses) for event in events if isinstance(event, StepDone)]
    assert isinstance(events[-1], Finished)
    return Training(losses, [event.text for event in events if isinstance(event, Notice)], events[-1], weights)


def trained_short_of_memory(config: Config, processes: Processes) -> Training:
    """Train while the second process runs out of memory in its first step."""
    forward = Students.forward

    def fail_once(*_: Any) -> Any:
        Students.forward = forward  # type: ignore[method-assign]
        raise MemoryError

    if not processes.is_first:
        Students.forward = fail_once  # type: ignore[method-assign]
    return trained(config, processes)


def raised_together(processes: DataParallel, work: Callable[[], object]) -> Exception:
    try:
        processes.together(work)
    except Exception as error:  # noqa: BLE001
        return error
    raise AssertionError("Nothing was raised.")


def see(processes: DataParallel, config: Config) -> None:
    """Keep what happens in two processes; the second one ends without a word at last."""

    def fail(error: Exception, *, goes_on: bool = False) -> None:
        if not processes.is_first:
            raise error
        while goes_on:
            processes.together(lambda: None)

    plain = config.with_values(**PLAIN)
    exact = trained(config.with_values(**EXACT), processes)
    by_method = {name: trained(config.with_values(**EXACT, **_by(name)), processes) for name in METHODS}
    short_of_memory = trained_short_of_memory(plain, processes)
    stopped = trained(plain, processes, budget=Budget(seconds=1000), stop_after=2)
    damaged = raised_together(processes, lambda: fail(InputError("The second file is damaged.")))
    elsewhere = raised_together(processes, lambda: fail(InputError("The second file is damaged."), goes_on=True))
    no_room = raised_together(processes, lambda: fail(MemoryError("no room")))
    defect = raised_together(processes, lambda: fail(KeyError("a defect")))
    SEEN.append(Seen(exact, by_method, short_of_memory, stopped, damaged, elsewhere, no_room, defect))
    if not processes.is_first:
        os._exit(1)


@pytest.fixture(scope="module")
def seen(tiny_config: Config) -> Seen:
    with pytest.raises(TrainingError, match=r"One of the 2 processes has ended.*fewer --devices"):
        in_processes(see, 2, "cpu", tiny_config)
    return SEEN[0]


def test_two_processes_have_the_losses_and_weights_of_one_with_the_joined_batch(
    seen: Seen, tiny_config: Config
) -> None:
    one = trained(tiny_config.with_values(**EXACT, **JOINED), Processes("cpu"))
    for both, alone in zip(seen.exact.losses, one.losses, strict=True):
        assert both == pytest.approx(alone, rel=1e-4)
        assert min(alone[name] for name in ("supervised", "consistency", "distillation", "mixing", "teacher")) > 0
    torch.testing.assert_close(seen.exact.weights, one.weights, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["ua_mt", "ict"])
def test_so_they_have_with_methods_that_draw_random_numbers(seen: Seen, tiny_config: Config, name: str) -> None:
    config = tiny_config.with_values(**EXACT, **JOINED, **_by(name))
    one, both = trained(config, Processes("cpu")), seen.by_method[name]
    for in_both, alone in zip(both.losses, one.losses, strict=True):
        assert in_both == pytest.approx(alone, rel=1e-4)
    assert one.losses[1]["consistency"] > 0
    torch.testing.assert_close(both.weights, one.weights, rtol=1e-3, atol=1e-5)


def test_a_method_with_parameters_of_its_own_learns_in_two_processes(seen: Seen) -> None:
    """What it leaves out at random differs between them, so that losses are not those of one."""
    assert all(losses["consistency"] > 0 for losses in seen.by_method["urpc"].losses)


def test_where_memory_runs_out_in_one_process_all_go_on_with_fewer_slices(seen: Seen) -> None:
    assert "Memory ran out; going on with 2 annotated and 2 unlabelled slices a step." in seen.short_of_memory.notices
    assert seen.short_of_memory.finished.steps == 2


def test_all_processes_stop_when_the_first_one_has_to(seen: Seen) -> None:
    assert seen.stopped.finished.stopped
    assert seen.stopped.finished.steps == 2


def test_an_error_in_one_process_is_raised_in_all_whatever_these_do_meanwhile(seen: Seen) -> None:
    for error in (seen.damaged, seen.damaged_elsewhere):
        assert isinstance(error, InputError)
        assert str(error) == "The second file is damaged."
        assert "in fail" in "".join(error.__notes__)
    assert isinstance(seen.no_room, MemoryError)
    assert isinstance(seen.defect, RuntimeError)
    assert "a defect" in str(seen.defect)


@pytest.mark.usefixtures("seen")
def test_a_process_that_ends_without_a_word_ends_the_others_with_a_sentence() -> None:
    assert not torch.distributed.is_initialized()
    assert not multiprocessing.active_children()


def test_more_gpus_than_there_are_and_other_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match="--devices is 3, but PyTorch finds 2 GPUs"):
        in_processes(see, 3, "cuda")
    with pytest.raises(ConfigError, match="without a number"):
        in_processes(see, 2, "cuda:1")
