"""From a box and clicks to a mask: a person points at a structure, SAM outlines it and follows it from slice to slice.

`slice_prompts` is what is pointed at, `prompted_volume` asks SAM, `following` goes on to the slices beside.
"""
