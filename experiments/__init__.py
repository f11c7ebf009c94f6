"""Experiments by name. The registry loads these files; nothing imports them."""
