"""The slices of one volume as a person and the networks left them, with undo; no tensors, no napari."""
