"""The commands and options with their help, except the settings of the method."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from knowsam.commands.option_values import axis, scheduler, slice_list, term, whole

Word = tuple[tuple[str, ...], dict[str, Any]]
"""One argument of a command: its names, and its settings for argparse."""


class Command(NamedTuple):
    """A command; at most one of the words in a list may be given."""

    name: str
    summary: str
    description: str
    example: str
    words: Sequence[Word | list[Word]]


def _word(*names: str, **details: Any) -> Word:
    return names, details


_path, _flag = partial(_word, type=Path), partial(_word, action="store_true")


def _budget(default: str) -> list[Word]:
    what = f"how long to train: 60s, 5m, 1h; `segment` takes 0 too, and propagates the labels (default: {default})"
    return [
        _word("--budget", metavar="TIME", default=default, help=what),
        _word("--steps", metavar="N", type=whole(1), help="how many steps to train, instead of a time"),
    ]


_IMAGE = "a .nii.gz, .nii, .nrrd, .mha, .mhd or DICOM file, or a folder of DICOM; --pick says which of several images"
_LABELS = "a mask (.nii.gz, .nii, .nrrd, .mha, DICOM), resampled if not on the grid of the image; 0 is not painted"
_IMAGES = _path("images", metavar="IMAGE", nargs="+", help=_IMAGE)
_OUTPUT = partial(_path, "-o", "--output", required=True)
_MISSING_AS_BACKGROUND = _flag(
    "--missing-as-background",
    help="take voxels that are NaN or infinite, as some programs write round a brain that was cut out, for background: "
    "in images they get the smallest of all other values, in masks 0 (default: such files are refused)",
)
_READING = (
    _word(
        "--pick",
        metavar="N|TEXT",
        type=lambda text: int(text) if text.isdecimal() else text,
        help="which image, where a file or folder holds several: its number in brackets in the list that `knowsam "
        "info` prints (not the number of its series), its description, or a part of this",
    ),
    _MISSING_AS_BACKGROUND,
)
_IGNORE_IDENTITY = _flag(
    "--ignore-identity",
    help="take DICOM labels although they name another patient, study or frame of reference than the image; only if "
    "you know that they lie on it, as after registration or where only one of both was anonymised",
)
_DEVICE = _word(
    "--device",
    metavar="auto|cpu|cuda|mps",
    default="auto",
    help="where to compute (default: auto, the fastest there is)",
)
_DEVICES = _word(
    "--devices",
    metavar="N",
    type=whole(1),
    default=1,
    help="how many GPUs, or processes on the CPU, train one model together, each with a batch of its own; more than "
    "one needs the extra [parallel] (default: 1)",
)
_SEED = _word(
    "--seed",
    metavar="N",
    type=whole(0),
    default=0,
    help="start of all random choices; with --steps, the same one gives the same mask again, unless finished volumes "
    "teach how their proposals err (default: 0)",
)
_ATLAS_BUDGET = _word(
    "--atlas-budget",
    metavar="TIME",
    default="300s",
    help="how long to learn from three to eight finished volumes how their proposals err, after each was proposed from "
    "all others, which takes seconds for each pair; 0: not at all (default: 300s)",
)
_ABOUT = _word("--about", metavar="TEXT", default="", help="what the model is for, to be kept in its file")
_PAINTED = (
    *_READING,
    _word(
        "--annotated-slices",
        metavar="auto|all|N,N,...",
        type=slice_list,
        help="slices of LABELS that are completely painted, counted from 0 along the voxel axis of that file, or of "
        "IMAGE where LABELS cover a part of it only; auto: every slice that holds any label; all: every slice, those "
        "without labels being background (default: auto)",
    ),
    _word(
        "--axis",
        metavar="auto|0|1|2",
        type=axis,
        help="voxel axis of the (first) LABELS file along which slices were painted, from 0; auto: the one along which "
        "the labels break off; where that is not clear, the option is needed (default: auto)",
    ),
    _word(
        "--ignore-value",
        metavar="V",
        type=int,
        help="value in LABELS of unlabelled voxels, in partly painted slices (default: none)",
    ),
    _IGNORE_IDENTITY,
)
_TRAINING = (
    _budget("60s"),
    _word(
        "--teacher",
        metavar="auto|none|NAME|FILE|FOLDER",
        default="auto",
        help="SAM that teaches the two networks: auto or compact (a small pretrained one), scratch (the same, not "
        "pretrained), none, vit_b, vit_l, vit_h, mobile_sam, sam2 (extra [sam2]), edgetam (extra [edgetam]) or another "
        "name of `knowsam models list`, which are downloaded once, a file of weights of SAM or MobileSAM, or a folder "
        "of Hugging Face with a SAM-2 or an EdgeTAM (default: auto)",
    ),
    _DEVICE,
    _SEED,
    _path(
        "--report",
        metavar="FILE.json|FILE.html",
        help="write settings, losses, times and scores (.json), or, of `segment`, a page for people with pictures and "
        "measurements (.html), without anything that names the patient",
    ),
    _flag("--overwrite", help="replace results that are already there"),
    _word("--help-all", action="help", help="also show every setting of the method, and exit"),
)

COMMANDS = (
    Command(
        "segment",
        "segment a volume of which a few slices are painted",
        "Train on the painted slices of one volume and write a mask of all its slices. The mask has the grid of the "
        "image and the values of the labels; painted slices stay as they were painted.",
        "brain.nii.gz --labels painted.nii.gz -o mask.nii.gz --budget 5m",
        [
            _path("image", metavar="IMAGE", help=_IMAGE),
            _path("--labels", metavar="LABELS", required=True, help=_LABELS),
            _OUTPUT(metavar="OUT", help="mask to write (.nii.gz, .nii, .seg.nrrd, .nrrd, .mha)"),
            *_PAINTED,
            _path(
                "--start-from",
                metavar="MODEL",
                help="model of other volumes to go on from, a file, its folder or its name: few painted slices correct "
                "what it predicts, and many teach it",
            ),
            _path("--atlases", metavar="IMAGE", nargs="+", default=[], help="finished volumes that propose a mask"),
            _path("--atlas-labels", metavar="MASK", nargs="+", default=[], help="a mask of each, in their order"),
            _ATLAS_BUDGET,
            _path("--save-model", metavar="MODEL", help="keep the trained model in this folder, or .safetensors file"),
            _ABOUT,
            *_TRAINING,
        ],
    ),
    Command(
        "train",
        "train a model on several volumes",
        "Train one model on several volumes, to be applied to others by `knowsam predict`. Every slice of a mask that "
        "holds any label counts as completely painted, every other one as unlabelled.",
        "a.nii.gz b.nii.gz --labels a_mask.nii.gz b_mask.nii.gz --unlabelled c.nii.gz -o model/",
        [
            _IMAGES,
            _path(
                "--labels", metavar="LABELS", nargs="+", required=True, help="one mask for each IMAGE, in their order"
            ),
            _path("--unlabelled", metavar="IMAGE", nargs="+", default=[], help="more images, no masks"),
            _OUTPUT(metavar="MODEL", help="folder for the model, or .safetensors file"),
            _ABOUT,
            _flag(
                "--check",
                help="also say how good it is in other volumes, here and in its file: for each, train a model of the "
                "others",
            ),
            *_PAINTED,
            *_TRAINING,
            _DEVICES,
        ],
    ),
    Command(
        "predict",
        "apply a trained model to other volumes",
        "Apply a model to other volumes and write a mask for each of them, NAME_mask.nii.gz. An image that cannot be "
        "used is reported and left out.",
        "model/ d.nii.gz e.nii.gz -o masks/",
        [
            _path("model", metavar="MODEL", help="a file that was saved, its folder, or the name of a kept model"),
            _IMAGES,
            _OUTPUT(metavar="DIR", help="folder for the masks"),
            _path(
                "--table",
                metavar="FILE.csv",
                help="write for each image the volume, largest diameter and number of pieces of each class, whether it "
                "is unlike the images that the model has learnt from, and what was wrong with it",
            ),
            *_READING,
            _flag("--overwrite", help="replace masks that are already there"),
            _DEVICE,
            _word(
                "--scheduler",
                metavar="ADDRESS",
                type=scheduler,
                help="let the workers of a dask cluster predict, which see the same files under the same paths: what "
                "`dask scheduler` logs, such as tcp://host:8786; --device is that of the workers",
            ),
        ],
    ),
    Command(
        "distil",
        "teach the compact SAM what a large one knows, without labels",
        "Let the compact SAM learn, on the slices of any images, to see and to answer like a large SAM. No labels are "
        "needed. Some slices are held out, to say how far both agree. The result is for `--teacher FILE`.",
        "vit_b a.nii.gz b.nii.gz c.nii.gz -o model/ --budget 1h",
        [
            _word("teacher", metavar="TEACHER", help="a name, file or folder of a SAM, as for --teacher"),
            _IMAGES,
            _OUTPUT(metavar="MODEL", help="folder for the SAM, or .safetensors file"),
            *_READING,
            _word(
                "--axis",
                metavar="auto|0|1|2",
                type=axis,
                help="voxel axis of each IMAGE file along which its slices lie, from 0; auto: the one with the largest "
                "spacing, from superior to inferior where several have it (default: auto)",
            ),
            _budget("10m"),
            _DEVICE,
            _SEED,
            _path("--report", metavar="FILE.json", help="write losses, times and how far both agree"),
            _flag("--overwrite", help="replace results that are already there"),
        ],
    ),
    Command(
        "propose",
        "make a first mask from the masks of finished volumes",
        "Bring the masks of finished volumes to another one by 3D registration, and let them vote. Nothing need be "
        "painted. Three or more also teach how such masks err. Correct the mask before you use it.",
        "d.nii.gz --atlases a.nii.gz b.nii.gz --labels a_mask.nii.gz b_mask.nii.gz -o proposal.nii.gz",
        [
            _path("image", metavar="IMAGE", help=_IMAGE),
            _path("--atlases", metavar="IMAGE", nargs="+", required=True, help="finished volumes of the same kind"),
            _path(
                "--labels", metavar="MASK", nargs="+", required=True, help="one mask for each of them, in their order"
            ),
            _OUTPUT(metavar="OUT", help="mask to write (.nii.gz, .nii, .seg.nrrd, .nrrd, .mha)"),
            _flag(
                "--check",
                help="also propose each finished volume from the others, and say how good that is: what may be "
                "expected of the mask",
            ),
            _ATLAS_BUDGET,
            *_READING,
            _flag("--overwrite", help="replace a mask that is already there"),
        ],
    ),
    Command(
        "project",
        "list the images of a project, or write its masks",
        "List the images of a folder that is segmented as a project in the window, with how far each is; or write the "
        "masks of all that are done, NAME_mask.nii.gz, each on the grid of its image.",
        "hearts/ --export masks/",
        [
            _path("folder", metavar="FOLDER", help="folder of the images"),
            _path("--export", metavar="DIR", help="folder for the masks"),
            _flag("--overwrite", help="replace masks that are already there"),
        ],
    ),
    Command(
        "export",
        "write a mask as DICOM or as surfaces",
        "Write a mask as a DICOM segmentation (.dcm) in the study of its image, with a coded term for each class, or "
        "as a structure set for radiotherapy (.rtstruct.dcm), with the outlines and names of the classes; the "
        "names, dates and numbers of the patient and the study are copied from the series into the file. Or write the "
        "surface of each class, smoothed at its volume, in mm of the patient (LPS): .stl, one file a class, or .obj.",
        "mask.nii.gz --source dicom_folder/ -o seg.dcm --term 1='left kidney' --term 2=tumour",
        [
            _path("mask", metavar="MASK", help="mask on the grid of the series, in any readable form"),
            _path("--source", metavar="FOLDER", help="folder with the DICOM series the mask was made in; for .dcm"),
            *_READING,
            _OUTPUT(metavar="OUT", help="file to write (.dcm, .rtstruct.dcm, .stl, .obj)"),
            _word(
                "--term",
                metavar="VALUE=WORDS",
                type=term,
                action="append",
                default=[],
                help="what a value of the mask stands for; may be given once for each (default: its name in the file, "
                "if any). Words that are understood are coded in SNOMED CT, others are kept as they are",
            ),
            _IGNORE_IDENTITY,
            _flag("--automatic", help="nobody painted in the image or corrected the mask"),
            _flag("--overwrite", help="replace a file that is already there"),
        ],
    ),
    Command(
        "onnx",
        "write the networks of a model for programs without PyTorch",
        "Write the two networks of a model with their fusion, or the pretrained propagator, as an ONNX file, and make "
        "sure that ONNX Runtime finds the same as PyTorch. Preparing slices and propagating labels is left to you.",
        "model/ -o students.onnx",
        [
            _path("model", metavar="MODEL|propagator", help="a model, or the word propagator"),
            _OUTPUT(metavar="FILE.onnx", help="file to write"),
            _flag("--overwrite", help="replace a file that is already there"),
        ],
    ),
    Command(
        "evaluate",
        "compare a mask with a reference",
        "Print for each class how well two masks agree: Dice (1: fully), the distance of their surfaces in mm (HD95: "
        "all but the worst 5 %, ASSD: on average), their volumes in ml and their largest diameters in mm.",
        "mask.nii.gz truth.nii.gz",
        [
            _path("prediction", metavar="PREDICTION", help="mask (.nii.gz, .nii, .nrrd, .mha, DICOM)"),
            _path("reference", metavar="REFERENCE", help="mask on the same grid"),
            _MISSING_AS_BACKGROUND,
            _IGNORE_IDENTITY,
            _flag("--json", help="print JSON instead of a table"),
        ],
    ),
    Command(
        "info",
        "tell the geometry and the classes of a file",
        "Tell the geometry of an image or mask, the orientation of its axes in words, and the classes of a mask. Where "
        "there are several images, list them.",
        "brain.nii.gz",
        [_path("path", metavar="FILE|FOLDER", help=_IMAGE), *_READING],
    ),
    Command(
        "models",
        "list, get, add, show or check SAM weights and trained models",
        "Show which weights of SAM and its kin are published, which lie on this computer, and which trained "
        "models are kept (list); download weights, going on where a download broke off (get NAME); take weights that "
        "came another way, on computers that are never online, or a model that somebody else trained (add FILE or "
        "FOLDER); print what is to be known of weights or of a model (show NAME|FILE); or check that files are intact "
        "(check). `--teacher NAME` uses weights; where a command takes a MODEL, the name of a kept one will do.",
        "get vit_b",
        [
            _word("action", choices=["list", "get", "add", "show", "check"], help="what to do"),
            _path("what", metavar="NAME|FILE|FOLDER", nargs="?", help="which weights or model, see above"),
        ],
    ),
    Command(
        "demo",
        "segment the sample volume",
        "Segment the sample volume from eight of its slices and leave a mask, a picture, a report and a score.",
        "-o demo_output/",
        [
            _path("-o", "--output", metavar="DIR", default=Path("demo_output"), help="folder to write to"),
            _budget("120s"),
            _DEVICE,
            _SEED,
        ],
    ),
)
