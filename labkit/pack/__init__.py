"""`labkit pack`: everything the labs need in one folder, for a room without a network. No lab imports this."""
