"""DICOM: which images there are, each read into a volume, and segmentations in and out.

`files` opens files, `header` and `frames` read the headers of files and slices, and `stacks` sorts slices into images
by the `splitting_attributes`. `spacing` and `grid` place them; `pixels`, `window` and `padding` read grey values;
`alternation` finds two images in one stack; `series` joins it all. `seg_reader` and `seg_writer` read and write masks,
with `seg_frames` for the places of their frames, `seg_pixels` for the values and `cielab` for colours. `identity` reads
patient and study.
"""
