"""Files as they were delivered: landed once, by content, in parts."""
