"""Source → Verdict: what every face calls, and who may call it now."""
