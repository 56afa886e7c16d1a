"""Every rule of every command, and how commands are done."""
