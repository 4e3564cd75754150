"""The protocols that tell how good a representation is."""
