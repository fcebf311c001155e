"""What can be seen of a training while it runs: the time left, and its numbers in trackers' files."""
