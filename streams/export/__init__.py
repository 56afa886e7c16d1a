"""Events as files, and files as events: replay, restore, verify and every format."""
