"""The networks and their weights: students, SAM teachers, the propagator and the corrector."""
