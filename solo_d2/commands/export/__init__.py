"""Commands that write parts of a trained model for other programs."""
