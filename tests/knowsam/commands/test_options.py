from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from knowsam.commands.options import chosen_config, parse
from knowsam.config import Config
from knowsam.setting import setting_of

SEGMENT = ["segment", "image.nii", "--labels", "labels.nii", "-o", "out.nii"]
COMMANDS = ["segment", "train", "predict", "distil", "evaluate", "info", "demo"]


def test_a_segmentation_needs_only_image_labels_and_output() -> None:
    options = parse(SEGMENT)
    assert (options.image, options.labels, options.output) == (Path("image.nii"), Path("labels.nii"), Path("out.nii"))
    assert (options.axis, options.annotated_slices, options.steps, options.budget) == (None, None, None, "60s")
    assert (options.teacher, options.device, options.seed) == ("auto", "auto", 0)
    assert chosen_config(options) == Config()


def test_slices_and_axis_are_read_as_numbers_or_auto() -> None:
    options = parse([*SEGMENT, "--annotated-slices", "20,3,10,3", "--axis", "2"])
    assert (options.annotated_slices, options.axis) == ((3, 10, 20), 2)
    options = parse([*SEGMENT, "--annotated-slices", "auto", "--axis", "auto"])
    assert (options.annotated_slices, options.axis) == (None, None)


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("--no-mixing", "mixing", False),
        ("--fill-holes", "fill_holes", True),
        ("--width 8", "width", 8),
        ("--learning-rate 0.01", "learning_rate", 0.01),
        ("--norm group", "norm", "group"),
    ],
)
def test_a_setting_of_the_method_given_as_an_option_is_the_only_one_changed(
    words: str, name: str, value: object
) -> None:
    assert chosen_config(parse([*SEGMENT, *words.split()])) == Config().with_values(**{name: value})


@pytest.mark.parametrize("command", ["segment", "train"])
def test_every_public_setting_but_the_teacher_is_an_option_that_only_help_all_shows(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [f for _, section in Config().sections() for f in fields(section) if f.name != "variant"]  # type: ignore[arg-type]
    flags = {"--" + f.name.replace("_", "-") for f in settings if setting_of(f).is_public}
    others = {"--" + f.name.replace("_", "-") for f in settings} - flags
    shown = {}
    for word in ("--help", "--help-all"):
        with pytest.raises(SystemExit) as end:
            parse([command, word])
        assert end.value.code == 0
        shown[word] = set(capsys.readouterr().out.replace(",", " ").split())
    assert flags <= shown["--help-all"]
    assert others.isdisjoint(shown["--help-all"])
    assert flags.isdisjoint(shown["--help"])


def test_help_all_shows_the_range_the_unit_and_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["segment", "--help-all"])
    text = " ".join(capsys.readouterr().out.split())
    assert "(32 to 1024 px, default: 96 px)" in text
    assert "(LPS). (default: on)" in text
    assert "official weights. (default: auto)" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example_that_parses(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([command, "--help"])
    program, *words = capsys.readouterr().out.partition("Example: ")[2].split()
    assert program == "knowsam"
    assert parse(words).command == command


@pytest.mark.parametrize("word", ["--label", "--annotated", "--step"])
def test_an_abbreviated_option_is_refused(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse([*SEGMENT, word, "1"])
    assert end.value.code == 2
    assert "unrecognized arguments" in capsys.readouterr().err
