"""The two faces of Truetape: the command line and the HTTP API."""
