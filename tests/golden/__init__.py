"""Golden texts of the report, and the small world and stories that they are made of."""
