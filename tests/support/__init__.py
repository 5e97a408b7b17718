"""What the tests of all parts share: sounds, recordings, and the look at what a test leaves behind."""
