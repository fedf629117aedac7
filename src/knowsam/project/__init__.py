"""A folder of images that are segmented one after the other."""
