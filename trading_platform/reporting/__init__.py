"""The daily report: facts from the database and the broker, what follows from them, and how they are shown."""
