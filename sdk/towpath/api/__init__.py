"""The resources of `towpath.dev`, one module a version."""
