"""The sub-commands: each module has `EXAMPLE`, `add_arguments(parser)` and `run(args) -> exit status`."""
