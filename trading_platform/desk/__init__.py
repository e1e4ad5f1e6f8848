"""The desk: accounts, risk, runs and orders in a browser; reads everything, and writes operators' words only."""
