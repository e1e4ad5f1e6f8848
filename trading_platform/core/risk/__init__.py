"""The risk rules: limits, checks, halts, sizes, approvals, explanations; pure and compiled."""
