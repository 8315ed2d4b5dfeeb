"""Items of a benchmark by how hard the small models find them."""
