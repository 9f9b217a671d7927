"""The resources of the API, one file each; every module here with a `router` is part of it."""
