"""DICOM images: which there are, and each read into a volume.

`files` opens, `header` and `frames` read what a file says of itself and of its slices, `stacks` sorts these into
images, `spacing` and `grid` say where they lie, `pixels` and `window` what they show, and `series` joins it all.
"""
