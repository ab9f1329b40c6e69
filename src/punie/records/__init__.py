"""What crosses a layer. Frozen, versioned, and free of punie's other rooms."""
