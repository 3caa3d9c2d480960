"""What stored trials and curves say: effort, times to a target, fronts, verdicts over seeds, sensitivity."""
