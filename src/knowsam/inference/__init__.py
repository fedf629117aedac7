"""From networks and propagated labels to probabilities, masks and scores."""
