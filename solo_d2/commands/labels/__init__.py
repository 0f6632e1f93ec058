"""Commands that write pseudo-labels."""
