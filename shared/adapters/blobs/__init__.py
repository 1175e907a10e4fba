"""The blob port and its backends: `folder` (embedded) and `azure` (Blob Storage)."""
