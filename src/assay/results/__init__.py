"""What a study gave: the source of every chart and table."""
