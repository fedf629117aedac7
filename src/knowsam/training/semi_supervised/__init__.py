"""How the students learn from slices without labels: one file for each method, and `methods.py`, the table of them."""
