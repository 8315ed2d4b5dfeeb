"""What every reader shares."""
