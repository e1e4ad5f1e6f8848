"""Alpaca's API as it is spoken: requests, pace, answers, failures, its clock."""
