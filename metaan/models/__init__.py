"""Models: random-effects pooling and exact-likelihood rates, and the frozen results that they return."""
