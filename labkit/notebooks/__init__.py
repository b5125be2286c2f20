"""How labs are made: laid out, run, checked for style, turned into exercises. No lab imports this."""
