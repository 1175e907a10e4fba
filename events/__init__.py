"""Event batches: validate and publish; then fold into signals, add to video statistics, archive."""
