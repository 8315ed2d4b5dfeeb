"""Whether a model gets a request right: the probability, before it is asked."""
