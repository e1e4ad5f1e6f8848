"""The daily report, screens, pages, charts, Telegram: what happened, shown to people."""
