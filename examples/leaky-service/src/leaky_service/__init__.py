"""A small web service with two planted memory leaks."""
