"""System checks of the ground, with ids `operations.E...` and `operations.W...`."""
