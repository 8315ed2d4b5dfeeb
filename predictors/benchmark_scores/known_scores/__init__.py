"""What scores that are known already say, and which to buy next."""
