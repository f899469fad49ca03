"""What the accelerator NullHop reads: its network file, and its compressed feature maps."""
