"""The windows in which radiologists read CT."""

from __future__ import annotations

CT_WINDOWS = {
    "Soft tissue": (-160.0, 240.0),
    "Lung": (-1350.0, 150.0),
    "Bone": (-500.0, 1500.0),
    "Brain": (0.0, 80.0),
}
"""Lowest and highest shown value in Hounsfield units, by name."""
