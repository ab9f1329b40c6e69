"""A server that punie owns, and one chat call to any endpoint."""
