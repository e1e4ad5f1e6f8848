"""Durable state: typed models, repository, migrations."""
