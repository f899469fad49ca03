"""What ADaPTION itself had: its descriptors of nets, its names and layout, its choice of bits."""
