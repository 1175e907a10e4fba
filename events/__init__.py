"""Event batches: validate and publish them, fold them into signals, add them to video statistics, archive them."""
