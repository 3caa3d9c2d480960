"""Results as people read them: tables for the terminal and charts; data first, then one definition each."""
