"""Bulk import of videos, within the request or as a background job."""
