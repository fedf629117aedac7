"""Images and labels in files: NIfTI, NRRD, MetaImage, DICOM and surfaces."""
