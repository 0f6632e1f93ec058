"""Every picture: results, labels, activations and validation sheets."""
