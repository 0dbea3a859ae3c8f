"""What we do: configuration, optimizer, campaign, controller, executors, evaluators, store, figures and the command line."""
