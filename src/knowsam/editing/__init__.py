"""Editing of a structure in a slice or in a volume, by its shape and by the grey values round it."""
