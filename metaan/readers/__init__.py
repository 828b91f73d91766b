"""From the files that people have to a table with metaan's column names."""
