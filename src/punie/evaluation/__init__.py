"""Running a suite against an endpoint."""
