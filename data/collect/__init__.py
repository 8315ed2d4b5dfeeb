"""Programs that made what is bundled: the data of `data/starter`, the weights of the curve network."""
