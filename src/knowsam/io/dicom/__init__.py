"""DICOM images: which there are, and each read into a volume.

`files` opens, `header` reads what a file says of its slices, `stacks` sorts them into images, `spacing` and `grid` say
where they lie, `pixels` and `window` what they show, and `series` joins these.
"""
