"""Commands of whoever is on call: retrain, models, promote, backup, doctor, ui."""
