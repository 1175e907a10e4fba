"""Records, backends, HTTP edge and telemetry that several packages share. Imports nothing of ours from outside."""
