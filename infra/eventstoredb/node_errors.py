"""What can come of a call to a node of EventStoreDB."""


class CallFailed(Exception):
    """Nothing is known of the call; another try may do it.

    CallFailed
      CallRefused        the node will refuse the next try, too
        PositionRefused  no event of the log begins at this position
    """


class CallRefused(CallFailed):
    """The node refused the call, and will refuse the next try, too."""


class PositionRefused(CallRefused):
    """No event of the log begins at this position."""
