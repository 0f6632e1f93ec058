"""Pictures: results, labels, activations, and validation sheets."""
