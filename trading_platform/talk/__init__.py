"""Talking to accounts from elsewhere: Telegram, and agents by MCP. No broker key is here, and no order is made."""
