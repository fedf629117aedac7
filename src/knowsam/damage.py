"""One error for whatever the damage of a file makes a reader raise; what that was and where is kept in the log."""

from __future__ import annotations

import logging
from pathlib import Path
from traceback import extract_tb

from knowsam.errors import InputError, KnowSAMError

logger = logging.getLogger(__name__)

_OUR_FOLDER = str(Path(__file__).parent)
_OFTEN_A_DEFECT = (AttributeError, TypeError, NameError, ImportError)


def damage_error(sentence: str, cause: BaseException, kind: type[KnowSAMError] = InputError) -> KnowSAMError:
    """Return the error that says so of a damaged file, and log of what type its cause is and where it was raised.

    The message of the cause is not logged: that of pydicom quotes values of the header.

    Parameters
    ----------
    sentence : found, expected, remedy.
    cause : what the reader raised. If our own code did, in a way that damage seldom leads to, the error says that too.
    """
    frames = extract_tb(cause.__traceback__)
    places = [f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno} ({frame.name})" for frame in frames]
    name = f"{type(cause).__module__}.{type(cause).__qualname__}"
    logger.debug("%s was taken for damage: %s", name, " > ".join(places))
    if isinstance(cause, _OFTEN_A_DEFECT) and frames and frames[-1].filename.startswith(_OUR_FOLDER):
        sentence += (
            " If other programs open the file, this may be a defect of ours or a newer version of a library; with "
            "--debug, the command line tells where it happened."
        )
    return kind(sentence)
