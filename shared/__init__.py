"""Records, backends, HTTP edge and telemetry that several packages share. Imports no other package of the project."""
