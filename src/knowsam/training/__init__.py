"""Training: sessions with their events and messages, steps, losses, validation, and saved models."""
