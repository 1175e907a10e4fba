"""What a tenant's own learning found: shown to its editors, and taken back when the holdout says so."""
