"""One recipe on several engines side by side: first that they compute the same, then how long they take."""
