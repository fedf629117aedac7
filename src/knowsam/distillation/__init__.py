"""Distils any SAM into the compact one, on the slices of any images, without a label.

`image_slices` are what both see, `prompted_sam` is how either is asked, `prompts` are for what, `embedding_cache` runs
the teacher once for each slice, `embedding_map` brings embeddings of two widths together, `distillation` learns, and
`agreement` compares.
"""
