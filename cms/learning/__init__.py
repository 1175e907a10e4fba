"""Shows editors what the nightly learning found for their tenant, and takes back models that lose to the holdout."""
