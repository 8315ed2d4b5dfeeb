"""Other programs call Foretell here: a gateway, a trainer. Nothing is imported until it is used."""
