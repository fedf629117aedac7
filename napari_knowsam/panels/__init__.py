"""The panels of the widget: plain Qt, they know no viewer, no layer, no session and no torch."""
