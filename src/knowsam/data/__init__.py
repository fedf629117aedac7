"""Volumes, annotations, geometry and grey values; no tensors."""
