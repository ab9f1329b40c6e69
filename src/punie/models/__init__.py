"""From a name to a model folder on this machine."""
