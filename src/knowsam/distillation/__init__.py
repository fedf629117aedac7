"""Distils any SAM into the compact one, on the slices of any images, without a label.

`image_slices` are what both see, `prompts` what they are asked for, by `models/promptable_sam`; `embedding_cache` runs
the teacher once for each slice, `embedding_map` brings embeddings of two widths together, `distillation` learns, and
`agreement` compares.
"""
