"""What is stored about one user: show it, export it, erase it."""
