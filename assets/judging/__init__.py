"""How the forecasts of a family are judged: pipeline, floors, known noise, vault."""
