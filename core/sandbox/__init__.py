"""Child processes that can touch only what they are given."""
