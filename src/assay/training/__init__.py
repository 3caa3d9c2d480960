"""The one training loop, and what a training leaves behind: histories and checkpoints."""
