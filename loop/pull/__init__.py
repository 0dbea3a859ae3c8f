"""The queue from which instruments fetch their trials, and its HTTP routes."""
