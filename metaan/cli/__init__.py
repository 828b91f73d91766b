"""The command line: click lives here alone, everything else is imported where a command needs it."""
