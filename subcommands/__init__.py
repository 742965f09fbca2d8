"""The command line's groups of commands, and the options that they share."""
