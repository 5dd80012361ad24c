"""Continual learning that grows spiking networks on a simulated Mosaic chip."""
