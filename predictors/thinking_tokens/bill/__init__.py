"""What a batch will take: quotes, totals, routing under a budget."""
