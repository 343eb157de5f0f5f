"""PostgreSQL and nothing above it: how data are laid out, written and read, and the server they live on."""
