"""Registration, sign-in and passwords; the command line needs them as much as HTTP."""
