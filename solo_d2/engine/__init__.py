"""Training: trainer, hooks, launching, and checks of the command line."""
