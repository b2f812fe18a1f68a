"""Networks: primitives, supernets, networks derived from one architecture."""
