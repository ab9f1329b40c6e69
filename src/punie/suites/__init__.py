"""From a file to an `EvalSuite`: parsing with places, checking, naming."""
