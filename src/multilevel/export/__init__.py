"""What other packages read: tidy frames, files, and the names that their users know."""
