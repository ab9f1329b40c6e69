"""Adapters on disk: their manifests, cards, and what can be made of them."""
