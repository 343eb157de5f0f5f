"""PostgreSQL and nothing above it: how the data are laid out, written, read and served by a database of our own or of
the user's.
"""
