"""The service: campaigns over REST and in a browser."""
