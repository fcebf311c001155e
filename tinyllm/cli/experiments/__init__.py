"""The commands about tables and experiments: sweep, table, tune, compare and attribute."""
