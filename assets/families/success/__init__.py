"""The family `success`: its examples, how it is judged, its assets."""
