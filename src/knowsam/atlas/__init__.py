"""Finished volumes as atlases: their masks are brought to a new volume by 3D registration, and fused.

Nothing is trained, and nothing need be painted. SimpleITK registers; no network takes part.
"""
