"""Labels of painted slices, propagated to the others by registration; no network takes part."""
