"""The live port and its Azure backend: nudges to somebody who listens."""
