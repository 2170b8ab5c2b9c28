"""The subcommands of `distill`, one module each with a function `command(arguments, console)`."""
