"""The document port and its backends: `sqlite` (embedded) and `cosmos` (Azure Cosmos DB)."""
