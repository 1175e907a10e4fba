"""Bulk import of videos, at once or as a job."""
