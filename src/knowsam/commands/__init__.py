"""The commands, one module each, imported only when it is called; `words` and `options` are the command line."""
