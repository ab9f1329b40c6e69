"""Punie: measure a small open model, train an adapter, and get an honest verdict."""
