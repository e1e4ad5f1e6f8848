"""Where orders go and fills come from: the paper simulator, an account at Alpaca."""
