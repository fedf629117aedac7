from __future__ import annotations

import csv
import os
import pickle
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import dask
import distributed
import nibabel as nib
import numpy as np
import pytest
from cluster_tasks import ObservedTask, notes, number_or_death
from distributed.utils import get_mp_context

from knowsam import errors
from knowsam.commands import cluster, cluster_prediction
from knowsam.commands.cluster_task import Answer, PredictionTask
from knowsam.errors import ClusterError, InputError
from knowsam.models.download import sha256_of

PREDICT = "predict {f}/model {f}/image.nii.gz {f}/other.nii.gz {f}/third.nii.gz -o {f}/masks --device cpu"


@pytest.fixture
def trained(folder: Path, model: Path) -> Path:
    """The folder with three images and a model."""
    for name in ("other", "third"):
        shutil.copy(folder / "image.nii.gz", folder / f"{name}.nii.gz")
    return folder


@pytest.fixture
def local() -> Iterator[distributed.LocalCluster]:
    """A cluster with one worker, which is a thread of this process."""
    with _cluster(n_workers=1, processes=False) as started:
        yield started


@pytest.fixture
def quick_workers() -> Iterator[None]:
    """Let worker processes be forked from one that has loaded PyTorch, instead of loading it each."""
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        get_mp_context().set_forkserver_preload(["distributed", "knowsam.commands.cluster_worker"])
        yield


def _cluster(**details: Any) -> distributed.LocalCluster:
    return distributed.LocalCluster(
        threads_per_worker=1, protocol="tcp", host="127.0.0.1", dashboard_address=None, **details
    )


def _task(folder: Path, **details: Any) -> PredictionTask:
    file = folder / "model" / "model.safetensors"
    (folder / "run").mkdir(exist_ok=True)
    given = {
        "checksum": sha256_of(file),
        "pick": None,
        "missing_as_background": False,
        "device": "cpu",
        "measure": True,
        **details,
    }
    return PredictionTask(file, folder=folder / "run", **given)


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_masks_table_and_exit_code_are_those_without_a_scheduler(
    trained: Path, knowsam: Callable[[str], int], local: distributed.LocalCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    (trained / "damaged.nii.gz").write_bytes(b"no image")
    words = "predict {f}/model {f}/damaged.nii.gz {f}/image.nii.gz {f}/other.nii.gz --device cpu"
    here, there = trained / "here", trained / "there"
    assert knowsam(words + " -o {f}/here --table {f}/here.csv") == 1
    assert "1 of 3 images were not predicted" in capsys.readouterr().err
    assert knowsam(words + f" -o {{f}}/there --table {{f}}/there.csv --scheduler {local.scheduler_address}") == 1
    assert "1 of 3 images were not predicted" in capsys.readouterr().err
    assert _table(trained / "here.csv") == _table(trained / "there.csv")
    assert sorted(os.listdir(here)) == sorted(os.listdir(there)) == ["image_mask.nii.gz", "other_mask.nii.gz"]
    for path in here.iterdir():
        ours, theirs = nib.load(path), nib.load(there / path.name)
        np.testing.assert_array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj))
        assert ours.header == theirs.header


def test_of_a_single_image_the_error_ends_the_command(
    trained: Path, knowsam: Callable[[str], int], local: distributed.LocalCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    (trained / "damaged.nii.gz").write_bytes(b"no image")
    words = "predict {f}/model {f}/damaged.nii.gz -o {f}/masks --scheduler " + local.scheduler_address
    assert knowsam(words) == 1
    assert capsys.readouterr().err.startswith("knowsam predict: damaged.nii.gz")


def test_a_mask_that_is_there_is_refused_before_anything_is_predicted(
    trained: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    (trained / "masks").mkdir()
    (trained / "masks" / "third_mask.nii.gz").write_bytes(b"kept")
    assert knowsam(PREDICT + " --scheduler tcp://127.0.0.1:1") == 1
    assert "third_mask.nii.gz exists already and is kept" in capsys.readouterr().err
    assert os.listdir(trained / "masks") == ["third_mask.nii.gz"]


def test_workers_that_are_killed_before_and_after_they_write_lose_nothing_and_nothing_is_predicted_twice(
    trained: Path, knowsam: Callable[[str], int], monkeypatch: pytest.MonkeyPatch, quick_workers: None
) -> None:
    monkeypatch.setattr(cluster_prediction, "PredictionTask", ObservedTask)
    before, after, whole = (trained / f"{name}.nii.gz" for name in ("image", "other", "third"))
    (trained / "image.nii.gz.wait-before").touch()
    (trained / "other.nii.gz.wait-after").touch()

    def kill() -> None:
        for image in (before, after):
            _until(lambda image=image: notes(image, "waiting"))
            os.kill(notes(image, "waiting")[0], signal.SIGKILL)

    with _cluster(n_workers=2) as workers:
        killer = threading.Thread(target=kill)
        killer.start()
        assert knowsam(PREDICT + f" --table {{f}}/table.csv --scheduler {workers.scheduler_address}") == 0
        killer.join()
    assert [len(notes(image, "begun")) for image in (before, after, whole)] == [2, 2, 1]
    assert [len(notes(image, "predicted")) for image in (before, after, whole)] == [1, 1, 1]
    rows = _table(trained / "table.csv")
    assert [row["mask"] for row in rows] == [f"{name}_mask.nii.gz" for name in ("image", "other", "third")]
    assert sorted(os.listdir(trained / "masks")) == [row["mask"] for row in rows]
    # The images are the same, so that their masks are.
    assert len({(row["2 class 2: ml"], row["7 class 7: pieces"], row["problem"]) for row in rows}) == 1


def _until(found: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not found():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_image_that_kills_every_worker_is_reported_and_those_waiting_are_done(quick_workers: None) -> None:
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        _cluster(n_workers=1) as workers,
        cluster.connected(workers.scheduler_address) as connection,
    ):
        answers = list(connection.done(number_or_death, [0, 1, 2]))
        assert sorted(item for item, _ in answers) == [0, 1, 2]
        for item, answer in answers:
            if item:
                assert answer() == item
            else:
                with pytest.raises(
                    errors.PredictionError, match=r"Whichever worker predicted it ended, 1 times.*memory"
                ):
                    answer()


def test_a_mask_that_another_worker_has_finished_is_not_predicted_again(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, image = _task(trained), trained / "image.nii.gz"
    first = task(image)
    written = (trained / "run" / "image_mask.nii.gz").stat().st_mtime_ns
    monkeypatch.setattr("knowsam.jobs.predict", lambda *_, **__: pytest.fail("predicted again"))
    assert task(image) == first
    assert (trained / "run" / "image_mask.nii.gz").stat().st_mtime_ns == written


def test_a_mask_that_appears_meanwhile_is_kept_and_ours_lies_beside_it(
    trained: Path,
    knowsam: Callable[[str], int],
    local: distributed.LocalCluster,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Slow(PredictionTask):
        def __call__(self, image: Path) -> Answer:
            (trained / "masks" / "other_mask.nii.gz").write_bytes(b"somebody's")
            return super().__call__(image)

    monkeypatch.setattr(cluster_prediction, "PredictionTask", Slow)
    words = "predict {f}/model {f}/other.nii.gz -o {f}/masks --scheduler " + local.scheduler_address
    assert knowsam(words) == 0
    assert "other_mask-1.nii.gz" in caplog.text
    assert (trained / "masks" / "other_mask.nii.gz").read_bytes() == b"somebody's"
    assert nib.load(trained / "masks" / "other_mask-1.nii.gz").shape == nib.load(trained / "other.nii.gz").shape


def test_what_is_to_be_known_of_an_image_travels_with_the_answer(trained: Path) -> None:
    image = nib.load(trained / "image.nii.gz")
    nib.Nifti1Image(image.get_fdata() ** 8, image.affine @ np.diag([1, 1, 4, 1])).to_filename(trained / "far.nii.gz")
    task = _task(trained)
    answer = task(trained / "far.nii.gz")
    assert "far is unlike the images that the model has learnt from" in "".join(answer.notices)
    # Also if the worker that has predicted it ended.
    assert task(trained / "far.nii.gz").notices == answer.notices


def test_an_image_that_a_worker_does_not_see_is_a_problem_of_that_image(trained: Path) -> None:
    answer = _task(trained)(Path("/elsewhere/scan.nii.gz"))
    assert isinstance(answer.outcome, InputError)
    assert "there is no /elsewhere/scan.nii.gz" in str(answer.outcome)
    assert "the same files under the same paths" in str(answer.outcome)


@pytest.mark.parametrize(
    ("details", "sentence"),
    [
        ({"version": "0.0.0"}, "is installed, but 0.0.0 where the command was given"),
        ({"checksum": "another"}, "is another model than where the command was given"),
        ({"device": "nonsense"}, "the device cannot be used"),
    ],
)
def test_a_worker_that_can_predict_no_image_refuses_all(trained: Path, details: dict[str, str], sentence: str) -> None:
    with pytest.raises(ClusterError, match=sentence):
        _task(trained, **details)(trained / "image.nii.gz")


def test_a_worker_that_does_not_see_the_folder_of_the_masks_ends_the_run(
    trained: Path,
    knowsam: Callable[[str], int],
    local: distributed.LocalCluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cluster_prediction, "TemporaryDirectory", lambda **_: _Unseen())
    assert knowsam(PREDICT + f" --scheduler {local.scheduler_address}") == 1
    assert "there is no /elsewhere, or the worker may not use it" in capsys.readouterr().err


class _Unseen:
    def __enter__(self) -> str:
        return "/elsewhere"

    def __exit__(self, *_: object) -> None:
        pass


def test_another_version_on_a_worker_is_refused_before_anything_is_predicted(
    trained: Path,
    knowsam: Callable[[str], int],
    local: distributed.LocalCluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cluster, "__version__", "99.0")
    assert knowsam(PREDICT + f" --scheduler {local.scheduler_address}") == 1
    error = capsys.readouterr().err
    assert "Where the scheduler runs, KnowSAM" in error
    assert "but 99.0 here. Install napari-knowsam 99.0 there" in error
    assert not (trained / "masks").exists()


def test_a_worker_without_knowsam_is_named(local: distributed.LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_version_of_scheduler", lambda _: cluster.__version__)
    monkeypatch.setattr(cluster, "_DISTRIBUTION", "no-such-package")
    with (
        pytest.raises(ClusterError, match=r"Where the worker tcp://.* runs, KnowSAM is not installed"),
        cluster.connected(local.scheduler_address),
    ):
        pass
    assert issubclass(PackageNotFoundError, ImportError)


def test_images_wait_for_the_first_worker_with_a_message(
    trained: Path, knowsam: Callable[[str], int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cluster, "_LOOK_EVERY_S", 0.1)
    with _cluster(n_workers=0, processes=False) as workers:

        def start() -> None:
            _until(lambda: "No worker is connected" in caplog.text)
            workers.scale(1)

        starter = threading.Thread(target=start)
        starter.start()
        assert knowsam(PREDICT + f" --scheduler {workers.scheduler_address}") == 0
        starter.join()
    assert caplog.text.count("No worker is connected") == 1
    assert len(os.listdir(trained / "masks")) == 3


def test_ctrl_c_keeps_what_is_finished_and_cancels_the_rest(
    trained: Path,
    knowsam: Callable[[str], int],
    local: distributed.LocalCluster,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish, published = cluster_prediction._publish, []

    def interrupted(finished: Path, place: Path, overwrite: bool) -> None:
        if published:
            raise KeyboardInterrupt
        publish(finished, place, overwrite)
        published.append(place.name)

    monkeypatch.setattr(cluster_prediction, "_publish", interrupted)
    assert knowsam(PREDICT + f" --scheduler {local.scheduler_address}") == 1
    assert "1 of 3 images were predicted by then; their masks stay." in caplog.text
    assert "interrupted" in capsys.readouterr().err
    assert os.listdir(trained / "masks") == published
    _until(lambda: not local.scheduler.tasks)


def test_an_address_where_no_scheduler_answers_is_reported_with_a_remedy(
    trained: Path,
    knowsam: Callable[[str], int],
    local: distributed.LocalCluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cluster, "_CONNECT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        for address in (silent_address, "tcp://127.0.0.1:1", "tls://127.0.0.1:1"):
            assert knowsam(PREDICT + f" --scheduler {address}") == 1
            error = capsys.readouterr().err
            assert f"No dask scheduler answers at {address}" in error
            assert "Start one with `dask scheduler`" in error
    (worker,) = local.workers.values()
    assert knowsam(PREDICT + f" --scheduler {worker.address}") == 1
    assert "there is a dask worker. Give the address of the scheduler" in capsys.readouterr().err
    assert knowsam(PREDICT + " --scheduler localhost") == 2
    assert "'localhost' is no address of a dask scheduler, such as tcp://host:8786" in capsys.readouterr().err


def test_without_dask_the_extra_is_named(
    trained: Path, knowsam: Callable[[str], int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    assert knowsam(PREDICT + " --scheduler tcp://127.0.0.1:1") == 2
    assert 'pip install "napari-knowsam[cluster]"' in capsys.readouterr().err


@pytest.mark.parametrize("kind", [errors.KnowSAMError, *errors.KnowSAMError.__subclasses__()])
def test_an_error_keeps_its_text_between_processes(kind: type[Exception]) -> None:
    found = pickle.loads(pickle.dumps(Answer(kind("Found, expected, remedy."), ())))
    assert type(found.outcome) is kind
    assert str(found.outcome) == "Found, expected, remedy."
