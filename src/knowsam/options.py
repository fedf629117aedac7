"""The words of the command line and their help; most are made from the fields of the configuration."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from knowsam import __version__
from knowsam.config import Config
from knowsam.setting import Setting, setting_of

_IMAGE = "a .nii.gz, .nii, .nrrd, .mha, .mhd or DICOM file, or a folder of DICOM; --pick says which of several images"
_LABELS = "a mask (.nii.gz, .nii, .nrrd, .mha, DICOM), resampled if not on the grid of the image; 0 is not painted"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the words of a command line; wrong usage ends the program with exit code 2."""
    return _parser(show_method="--help-all" in arguments).parse_args(arguments)


def chosen_config(options: argparse.Namespace, usual: Config | None = None) -> Config:
    """Return the configuration, by default the usual one, with every setting that was given on the command line."""
    given = {key.removeprefix("set_"): value for key, value in vars(options).items() if key.startswith("set_")}
    return (usual or Config()).with_values(**{name: value for name, value in given.items() if value is not None})


def _parser(*, show_method: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="knowsam",
        description="Segment a medical volume from a few painted slices: KnowSAM learns from them and from all the "
        "unlabelled slices.",
        epilog="`knowsam COMMAND --help` explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"knowsam {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_segment(commands, show_method)
    _add_train(commands, show_method)
    _add_predict(commands)
    _add_export(commands)
    _add_evaluate(commands)
    _add_info(commands)
    _add_demo(commands)
    return parser


def _add_command(commands: Any, name: str, summary: str, description: str, example: str) -> argparse.ArgumentParser:
    # Without abbreviations a new option cannot change what an old script says.
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description, epilog=f"Example: knowsam {name} {example}", allow_abbrev=False
    )
    parser.add_argument("--debug", action="store_true", help="log what happens and show the traceback of an error")
    return parser


def _add_segment(commands: Any, show_method: bool) -> None:
    parser = _add_command(
        commands,
        "segment",
        "segment a volume of which a few slices are painted",
        "Train on the painted slices of one volume and write a mask of all its slices. The mask has the grid of the "
        "image and the values of the labels; painted slices stay as they were painted.",
        "brain.nii.gz --labels painted.nii.gz -o mask.nii.gz --budget 5m",
    )
    parser.add_argument("image", metavar="IMAGE", type=Path, help=_IMAGE)
    parser.add_argument("--labels", metavar="LABELS", type=Path, required=True, help=_LABELS)
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        type=Path,
        required=True,
        help="mask to write (.nii.gz, .nii, .seg.nrrd, .nrrd, .mha)",
    )
    _add_pick(parser)
    _add_label_options(parser)
    parser.add_argument(
        "--start-from",
        metavar="MODEL",
        type=Path,
        help="model of other volumes to go on from, a file or its folder: few painted slices correct what it predicts, "
        "and many teach it",
    )
    parser.add_argument(
        "--save-model", metavar="MODEL", type=Path, help="keep the trained model in this folder, or .safetensors file"
    )
    _add_training_options(parser, show_method)


def _add_train(commands: Any, show_method: bool) -> None:
    parser = _add_command(
        commands,
        "train",
        "train a model on several volumes",
        "Train one model on several volumes, to be applied to others by `knowsam predict`. Every slice of a "
        "mask that holds any label counts as completely painted, every other one as unlabelled.",
        "a.nii.gz b.nii.gz --labels a_mask.nii.gz b_mask.nii.gz --unlabelled c.nii.gz -o model/",
    )
    parser.add_argument("images", metavar="IMAGE", type=Path, nargs="+", help=_IMAGE)
    parser.add_argument(
        "--labels",
        metavar="LABELS",
        type=Path,
        nargs="+",
        required=True,
        help="one mask for each IMAGE, in their order",
    )
    parser.add_argument("--unlabelled", metavar="IMAGE", type=Path, nargs="+", default=[], help="more images, no masks")
    parser.add_argument(
        "-o", "--output", metavar="MODEL", type=Path, required=True, help="folder for the model, or .safetensors file"
    )
    _add_pick(parser)
    _add_label_options(parser)
    _add_training_options(parser, show_method)


def _add_predict(commands: Any) -> None:
    parser = _add_command(
        commands,
        "predict",
        "apply a trained model to other volumes",
        "Apply a model to other volumes and write for each of them a mask, NAME_mask.nii.gz.",
        "model/ d.nii.gz e.nii.gz -o masks/",
    )
    parser.add_argument(
        "model", metavar="MODEL", type=Path, help="what --save-model, `knowsam train` or the window saved"
    )
    parser.add_argument("images", metavar="IMAGE", type=Path, nargs="+", help=_IMAGE)
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True, help="folder for the masks")
    _add_pick(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace masks that are already there")
    _add_device(parser)


def _add_export(commands: Any) -> None:
    parser = _add_command(
        commands,
        "export",
        "write a mask as a DICOM segmentation",
        "Write a mask as a DICOM segmentation in the study of its image, with a coded term for each class. "
        "The names, dates and numbers of the patient and the study are copied from the series into the file.",
        "mask.nii.gz --source dicom_folder/ -o seg.dcm --term 1='left kidney' --term 2=tumour",
    )
    parser.add_argument("mask", metavar="MASK", type=Path, help="mask on the grid of the series, in any readable form")
    parser.add_argument(
        "--source", metavar="FOLDER", type=Path, required=True, help="folder with the DICOM series the mask was made in"
    )
    _add_pick(parser)
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="segmentation to write (.dcm)")
    parser.add_argument(
        "--term",
        metavar="VALUE=WORDS",
        type=_term,
        action="append",
        default=[],
        help="what a value of the mask stands for; may be given once for each (default: its name in the file, if any). "
        "Words that are understood are coded in SNOMED CT, others are kept as they are",
    )
    _add_ignore_identity(parser)
    parser.add_argument("--automatic", action="store_true", help="nobody painted in the image or corrected the mask")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is already there")


def _add_evaluate(commands: Any) -> None:
    parser = _add_command(
        commands,
        "evaluate",
        "compare a mask with a reference",
        "Print for each class how well two masks agree: Dice (1: fully), the distance of their surfaces in mm (HD95: "
        "all but the worst 5 %, ASSD: on average) and their volumes in ml.",
        "mask.nii.gz truth.nii.gz",
    )
    parser.add_argument("prediction", metavar="PREDICTION", type=Path, help="mask (.nii.gz, .nii, .nrrd, .mha, DICOM)")
    parser.add_argument("reference", metavar="REFERENCE", type=Path, help="mask on the same grid")
    _add_ignore_identity(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _add_info(commands: Any) -> None:
    parser = _add_command(
        commands,
        "info",
        "tell the geometry and the classes of a file",
        "Tell the geometry of an image or mask, the orientation of its axes in words, and the classes of a mask. Where "
        "there are several images, list them.",
        "brain.nii.gz",
    )
    parser.add_argument("path", metavar="FILE|FOLDER", type=Path, help=_IMAGE)
    _add_pick(parser)


def _add_demo(commands: Any) -> None:
    parser = _add_command(
        commands,
        "demo",
        "segment the sample volume",
        "Segment the sample volume from eight of its slices and leave a mask, a picture, a report and a score.",
        "-o demo_output/",
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, default=Path("demo_output"), help="folder to write to"
    )
    _add_budget(parser, default="120s")
    _add_device(parser)
    _add_seed(parser)


def _add_pick(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pick",
        metavar="N|TEXT",
        type=lambda text: int(text) if text.isdecimal() else text,
        help="which image, where a file or folder holds several: its number in brackets in the list that `knowsam "
        "info` prints (not the number of its series), its description, or a part of this",
    )


def _add_ignore_identity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ignore-identity",
        action="store_true",
        help="take DICOM labels although they name another patient, study or frame of reference than the image; only "
        "if you know that they lie on it, as after registration or where only one of both was anonymised",
    )


def _add_label_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--annotated-slices",
        metavar="auto|all|N,N,...",
        type=_slice_list,
        help="slices of LABELS that are completely painted, counted from 0 in the file; auto: every slice that holds "
        "any label; all: every slice, those without labels being background (default: auto)",
    )
    parser.add_argument(
        "--axis",
        metavar="auto|0|1|2",
        type=_axis,
        help="voxel axis of the (first) LABELS file along which slices were painted, from 0; auto: the one along which "
        "the labels break off; where that is not clear, the option is needed (default: auto)",
    )
    parser.add_argument(
        "--ignore-value",
        metavar="V",
        type=int,
        help="value in LABELS of voxels that nobody has judged, in partly painted slices (default: none)",
    )
    _add_ignore_identity(parser)


def _add_training_options(parser: argparse.ArgumentParser, show_method: bool) -> None:
    _add_budget(parser)
    parser.add_argument(
        "--teacher",
        metavar="auto|none|NAME|FILE",
        default="auto",
        help="SAM that teaches the two networks: auto or compact (a small pretrained one), scratch (the same, not "
        "pretrained), none, vit_b, vit_l or vit_h (the official ones, downloaded once), or a file of such weights "
        "(default: auto)",
    )
    _add_device(parser)
    _add_seed(parser)
    parser.add_argument("--report", metavar="FILE.json", type=Path, help="write settings, losses, times and scores")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are already there")
    parser.add_argument("--help-all", action="help", help="also show every setting of the method, and exit")
    _add_method_options(parser, show_method)


def _add_budget(parser: argparse.ArgumentParser, default: str = "60s") -> None:
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument(
        "--budget",
        metavar="TIME",
        default=default,
        help=f"how long to train: 60s, 5m, 1h; `segment` takes 0 too, and propagates the labels (default: {default})",
    )
    budget.add_argument("--steps", metavar="N", type=_whole(1), help="how many steps to train, instead of a time")


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed",
        metavar="N",
        type=_whole(0),
        default=0,
        help="start of all random choices; with --steps, the same one gives the same mask again (default: 0)",
    )


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        metavar="auto|cpu|cuda|mps",
        default="auto",
        help="where to compute (default: auto, the fastest there is)",
    )


def _add_method_options(parser: argparse.ArgumentParser, show: bool) -> None:
    """Make an option of every public setting of the method; help shows them only when asked."""
    for name, section in Config().sections():
        title = (type(section).__doc__ or name).splitlines()[0].rstrip(".")
        group = parser.add_argument_group(title) if show else parser
        for setting_field in fields(section):  # type: ignore[arg-type]
            rules = setting_of(setting_field)
            if rules.is_public and setting_field.name != "variant":  # that one is --teacher
                _add_setting(group, setting_field.name, getattr(section, setting_field.name), rules, show)


def _add_setting(group: Any, name: str, default: Any, setting: Setting, show: bool) -> None:
    flag, target = "--" + name.replace("_", "-"), "set_" + name
    text = _setting_help(default, setting).replace("%", "%%") if show else argparse.SUPPRESS
    if isinstance(default, bool | None):
        group.add_argument(flag, dest=target, action=argparse.BooleanOptionalAction, default=None, help=text)
    elif setting.choices:
        group.add_argument(flag, dest=target, choices=setting.choices, help=text)
    else:
        group.add_argument(flag, dest=target, metavar="N", type=type(default), help=text)


def _setting_help(default: Any, setting: Setting) -> str:
    unit = f" {setting.unit}" if setting.unit else ""
    allowed = "" if setting.low is None else f"{setting.low} to {setting.high}{unit}, "
    words = {None: "auto", False: "off", True: "on"}
    usual = words[default] if isinstance(default, bool | None) else f"{default}{unit}"
    return f"{setting.help} ({allowed}default: {usual})"


def _whole(low: int, high: int = 2**32 - 1) -> Callable[[str], int]:
    """Return a reader of whole numbers from `low` to `high`."""

    def read(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} to {high}")
        return int(text)

    return read


def _slice_list(text: str) -> tuple[int, ...] | Literal["all"] | None:
    if text == "auto":
        return None
    if text == "all":
        return "all"
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither auto nor all nor slice numbers such as 3,10,20"
        ) from None


def _term(text: str) -> tuple[int, str]:
    value, equals, words = text.partition("=")
    if not (value.isdecimal() and int(value) and equals and words.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is no value of the mask and its words, such as 1=liver")
    return int(value), words.strip()


def _axis(text: str) -> int | None:
    if text not in ("auto", "0", "1", "2"):
        raise argparse.ArgumentTypeError(f"{text!r} is none of auto, 0, 1, 2")
    return None if text == "auto" else int(text)
