"""Text that a person wrote as data, with the place of everything in it."""
