"""What a description says: redaction, leak groups, features."""
