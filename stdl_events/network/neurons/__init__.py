"""Spiking neurons, a file for each kind; `NEURONS` in `network.registries` lists them."""
