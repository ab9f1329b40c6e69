"""The checks of training data, one noun a module; `punie.datasets.checks` runs them all."""
