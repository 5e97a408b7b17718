"""Log-mel → segments → a model → votes, and the picture of them."""
