from __future__ import annotations

import pytest
from napari.utils.notifications import notification_manager

from knowsam.errors import InputError
from napari_knowsam.error_messages import errors_shown


def test_an_error_for_the_user_is_shown_as_its_sentence() -> None:
    with errors_shown():
        raise InputError("Found this, expected that. Do so.")
    shown = notification_manager.records[-1]
    assert (shown.message, shown.severity.value) == ("Found this, expected that. Do so.", "error")


def test_an_error_of_the_programme_is_not_swallowed() -> None:
    with pytest.raises(ValueError, match="bug"), errors_shown():
        raise ValueError("bug")
