"""Shows, exports and erases everything stored about one user."""
