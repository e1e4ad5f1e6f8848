"""The market regime (bull, bear, consolidation), fitted and filtered on the past only."""
