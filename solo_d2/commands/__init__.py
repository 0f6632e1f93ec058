"""What the entry points and the console script ``solo-d2`` run."""
