"""Statistics of a data set, and the settings that suit it."""
