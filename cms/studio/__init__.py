"""The Studio: the web page for content teams, and the endpoints that serve it."""
