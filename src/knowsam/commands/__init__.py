"""The commands, one module each, imported when it is called; `words` and `options` define the command line."""
