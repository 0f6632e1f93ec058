"""Commands for published models."""
