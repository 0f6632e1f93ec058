"""Commands that make, check and convert data sets."""
