"""What files of several kinds hold: members of archives, rows of tables."""
