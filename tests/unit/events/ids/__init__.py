"""Units of events.ids."""
