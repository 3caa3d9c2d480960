"""What a training is made of: one table for each kind of component, no engine in sight."""
