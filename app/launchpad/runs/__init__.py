"""Where runs execute, how many at once, and how they end when the server does."""
