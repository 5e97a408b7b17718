"""Child processes that can touch only what a policy allows."""
