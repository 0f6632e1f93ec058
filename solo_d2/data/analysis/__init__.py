"""Statistics of a data set, and recommended settings."""
