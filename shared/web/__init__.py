"""The HTTP edge: endpoints, problems, authentication, admission, the OpenAPI document."""
