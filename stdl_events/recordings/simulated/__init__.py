"""Simulated walkers: figures, their pictures, and a model of the pixels of an event camera."""
