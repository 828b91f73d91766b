"""Reports: a result with its data, sources, methods and checks in one document."""
