"""labkit's embedded server side by side with its rivals, in one run: `make bench`."""
