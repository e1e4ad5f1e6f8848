"""The database: models, migrations, repository, order journal; and the model registry."""
