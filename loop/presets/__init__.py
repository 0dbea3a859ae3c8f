"""The built-in campaigns, as YAML."""
