"""What more than one room needs. Imports nothing of ours from outside this package."""
