"""Commands that draw pictures: a model's activations, labels, correspondences of a backbone."""
