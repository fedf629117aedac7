"""DICOM: which images there are, each read into a volume, and segmentations in and out.

`files` opens, `header` and `frames` read what a file says of itself and of its slices, `stacks` sorts these into images
by the `splitting_attributes`, `spacing` and `grid` say where they lie, `pixels`, `window` and `padding` what they
show, `alternation` whether that is one image, and `series` joins it all.
`seg_reader` and `seg_writer` hold masks, with `seg_frames` for their places, `seg_pixels` for what the frames hold and
`cielab` for their colours. `identity` says whom images and masks show.
"""
