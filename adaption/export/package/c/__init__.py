"""The C99 program of an integer net: what it computes where, and its text."""
