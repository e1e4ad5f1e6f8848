"""From a command to a running engine: options, account, market, parts. The only room above the flat modules."""
