"""One event batch: validate and publish; then fold into signals, roll up into video stats."""
