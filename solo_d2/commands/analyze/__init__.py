"""Commands that measure a data set or a model's errors."""
