"""Training: trainer, hooks, launching, and the command line's checks."""
